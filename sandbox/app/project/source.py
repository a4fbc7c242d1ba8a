"""The sources of a sandbox besides a file: a folder, a git repository, or a bundle file with a project in it.

What is fetched is copied to the cache, one copy for each revision, and runs only after the user trusts that revision.
"""

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from sandbox.app.context import DEFAULT_FILE
from sandbox.app.session import Session
from sandbox.bundle import bundle_load
from sandbox.bundle.bundle_load import Bundle, opened
from sandbox.bundle.store import Store
from sandbox.config.schema import Spec
from sandbox.config.schema.origin_schema import Origin
from sandbox.config.schema.values import as_name, is_loopback
from sandbox.errors import UsageError
from sandbox.names import Home
from sandbox.system import files, process
from sandbox.system.process import ToolFailed

TIMEOUT = 600.0
_GIT_URL = re.compile(r"(https?|ssh|git|file)://[^\s]+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\s]+")
# These protocols are not protected against changes on the way.
UNPROTECTED = ("http", "git")


@dataclass(frozen=True)
class Repository:
    url: str
    branch: str = ""
    below: str = ""

    @classmethod
    def parse(cls, source: str) -> Self | None:
        """Return the repository that `source` names, None if it is not the address of one. Raises UsageError."""
        url, _, fragment = source.partition("#")
        if not _GIT_URL.fullmatch(url) or not fragment.isprintable():
            return None
        if "://" in url:
            _require_safe(url)
        branch, _, below = fragment.partition(":")  # in which blanks are as good as any
        if branch.startswith("-") or ".." in Path(below).parts or Path(below).is_absolute():
            raise UsageError(f"'{fragment}' is not a branch and folder of a repository", fix="write #BRANCH:FOLDER")
        return cls(url, branch, below)

    @property
    def name(self) -> str:
        return re.split(r"[/:]", self.url.rstrip("/"))[-1].removesuffix(".git") or "repository"

    def __str__(self) -> str:
        below = f":{self.below}" if self.below else ""
        return f"{self.url}#{self.branch}{below}" if self.branch or below else self.url

    def clone(self, into: Path) -> str:
        scheme = self.url.partition("://")[0]
        # What git may use also after redirects and by rewritten URLs of its settings.
        protocols = ("https", "ssh", "file", *(UNPROTECTED if scheme in UNPROTECTED else ()))
        env = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": ":".join(protocols)}
        argv: list[str | Path] = ["git", "clone", "--quiet", "--depth", "1", "--no-recurse-submodules"]
        argv += [*(["--branch", self.branch] if self.branch else []), "--", self.url, into]
        try:
            process.run(argv, timeout=TIMEOUT, env=env)
            head = ["git", f"--git-dir={into / '.git'}", "rev-parse", "HEAD"]
            return process.run(head, timeout=TIMEOUT, merged=False).strip()
        except ToolFailed as error:
            raise UsageError(
                f"{self.url} cannot be cloned", details=error.details, fix="check the address and the branch"
            ) from error


def _require_safe(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError("the address of the repository is not valid", fix="https://HOST/PATH.git") from error
    if parts.scheme in UNPROTECTED and not is_loopback(host):
        raise UsageError(
            f"{parts.scheme}://{host}: fetched unencrypted, so others could change what runs here",
            fix="use https:// or ssh://, or clone it and name the folder",
        )
    account, at, _ = parts.netloc.rpartition("@")
    # The shell's history keeps an account.
    if at and (":" in account or parts.scheme != "ssh") and parts.scheme != "file":  # ssh needs a name
        raise UsageError(
            f"the address of a repository at {host} has an account in it",
            fix="leave it out and have git ask a credential helper (git help credentials), or clone the repository "
            "yourself and name the folder",
        )


@dataclass(frozen=True)
class Fetched:
    """A project: the file of its spec, its folder, and the name for a spec that has none.

    `bundle` is the bundle file, whose components are loaded only after the user agrees.
    """

    file: Path
    root: Path
    origin: Origin
    called: str | None = None
    bundle: Path | None = None

    def complete(self, home: Home, session: Session) -> None:
        """Load the programs and images of the bundle; the user has agreed. Raises SandboxError."""
        if self.bundle is None:
            return
        with session.locked(home.bundle, "the bundle", "up"), opened(self.bundle) as bundle:
            _require_identity(bundle, self.origin.revision)
            session.say(f"{self.bundle}: checking and unpacking")
            bundle_load.load(bundle, Store(home.bundle))

    def require_no_data(self, spec: Spec) -> None:
        """Raise UsageError for data inside the project: each commit has another copy, which would begin without it."""
        folders = {f"cluster.mounts[{index}].host": mount.host for index, mount in enumerate(spec.cluster.mounts)}
        if spec.registry.storage:
            folders["registry.storage"] = spec.registry.storage
        for key, path in folders.items():
            if files.is_inside(self.root, path):
                raise UsageError(
                    f"{key} is a folder of a project from elsewhere",
                    details=f"{path}: each commit has another copy of the project, and nodes write into it",
                    fix="clone it yourself and name the folder: sandbox up --from FOLDER",
                )


@contextmanager
def fetched(source: str, home: Home, session: Session, *, identity: str | None = None) -> Iterator[Fetched]:
    """Yield the project of `source`, which is fetched into the cache unless it is a folder, and kept for the block.

    A git repository may be followed by `#BRANCH`, `#BRANCH:FOLDER` or `#:FOLDER`. A bundle must have the `identity`, if
    one is given. Its spec is not read. Raises SandboxError.
    """
    path, repository = Path(source), None
    is_folder, is_file = files.is_dir(source), files.is_file(source)  # a URL may be too long for a name
    if not (is_folder or is_file):
        repository = Repository.parse(source)
        if repository is None:
            raise UsageError(
                f"{source} is neither a folder, nor a bundle file, nor a git repository",
                fix="--from FOLDER, --from FILE.bundle, or --from https://…#BRANCH:FOLDER",
            )
    if is_file and path.suffix in (".yaml", ".yml"):
        raise UsageError(f"{source} is a file of YAML, not a bundle", fix=f"-f {shlex.quote(source)}")
    if identity is not None and not is_file:
        raise UsageError("--identity is for bundle files", fix="leave it out")
    with ExitStack() as stack:
        if is_folder:
            project = Fetched(path / DEFAULT_FILE, path, Origin.of(path / DEFAULT_FILE))
        else:
            files.make_private_dir(home.projects)
            stack.enter_context(_locked(home, fcntl.LOCK_SH))
            if repository is None:
                project = _unpacked(path, home, session, identity=identity)
            else:
                session.say(str(repository))
                project = _cloned(repository, home)
            _require_no_links_out(project.root)
        if not project.file.is_file():
            raise UsageError(f"{source} has no {DEFAULT_FILE}", fix="create one with: sandbox init")
        yield project


def is_trusted(home: Home, origin: Origin) -> bool:
    """Return whether the user trusts this revision: a commit, or the identity of a bundle."""
    return _answer(home, origin).exists()


def trust(home: Home, origin: Origin) -> None:
    files.write_private(_answer(home, origin), f"{origin.key}\n".encode())


def distrust(home: Home, origin: Origin) -> None:
    _answer(home, origin).unlink(missing_ok=True)
    files.remove_empty(home.agreed)


def _answer(home: Home, origin: Origin) -> Path:
    return home.agreed / hashlib.sha256(origin.key.encode()).hexdigest()


def sweep(home: Home) -> None:
    """Remove the copies that no saved spec names; does nothing while a command may be choosing one."""
    if not home.projects.is_dir():
        return
    with suppress(BlockingIOError), _locked(home, fcntl.LOCK_EX | fcntl.LOCK_NB):
        specs = [*home.sandboxes.rglob("spec.json"), *home.snapshots.rglob("spec.json")]
        texts = [spec.read_text(errors="replace", encoding="utf-8") for spec in specs]
        for folder in home.projects.iterdir():
            if not any(f"/{folder.name}" in text for text in texts):
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(home: Home, how: int) -> Iterator[None]:
    descriptor = os.open(home.projects, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _unpacked(file: Path, home: Home, session: Session, *, identity: str | None) -> Fetched:
    with session.locked(home.bundle, "the bundle", "up"), opened(file) as bundle:
        session.say(f"{bundle.identity}  {file}")
        if identity is not None:
            _require_identity(bundle, identity)
        name = bundle.contents.project
        if name is None:
            raise UsageError(
                f"{file} contains no sandbox.yaml",
                fix="save one with a sandbox: sandbox bundle save FILE -n NAME; or: "
                f"sandbox bundle load {shlex.quote(str(file))}",
            )
        root = _place(home, name, bundle.identity)
        if not root.exists():
            bundle_load.load(bundle, Store(home.bundle), root, components=False)
        origin = Origin(kind="bundle", source=str(file.absolute()), revision=bundle.identity)
    return Fetched(root / DEFAULT_FILE, root, origin, called=name, bundle=file)


def _require_identity(bundle: Bundle, identity: str) -> None:
    if bundle.identity != identity:
        raise UsageError(
            f"{bundle.path} is not the bundle that --identity names",
            details=f"wanted {identity}\nfound  {bundle.identity}",
            fix="copy it again from where it was saved, or ask its author for the identity",
            id="bundle-identity",
        )


def _cloned(repository: Repository, home: Home) -> Fetched:
    name = as_name(repository.name) or "repository"
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=home.projects, ignore_cleanup_errors=True) as partial:
        clone = Path(partial) / "clone"
        commit = repository.clone(clone)
        root = _place(home, f"{name}-{commit[:12]}", f"{repository.url} {commit}")
        if not root.exists():
            clone.rename(root)
    origin = Origin(kind="git", source=str(repository), revision=commit)
    called = Path(repository.below).name or repository.name
    return Fetched(root / repository.below / DEFAULT_FILE, root, origin, called)


def _place(home: Home, name: str, identity: str) -> Path:
    # The whole digest: another project could be made to have the same short one.
    return home.projects / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()}"


def _require_no_links_out(root: Path) -> None:
    # Programs that read the project would follow such a link.
    for path in root.rglob("*"):
        if path.is_symlink() and not files.is_inside(root, path):
            raise UsageError(
                f"{path.relative_to(root)} of the project is a link to a place outside",
                details=f"{path} -> {os.path.realpath(path)}",
                fix="if you trust it, clone it yourself and name the folder: sandbox up --from FOLDER",
            )
