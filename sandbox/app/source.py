"""The sources of a sandbox besides a file: a folder, a git repository, or a bundle file with a project in it."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.app import checkouts, consent
from sandbox.app.context import DEFAULT_FILE
from sandbox.app.git_repository import Repository
from sandbox.app.session import Session
from sandbox.bundle import bundle_load
from sandbox.bundle.bundle_load import Bundle, opened
from sandbox.bundle.store import Store
from sandbox.config.schema import Spec
from sandbox.config.schema.origin_schema import Origin
from sandbox.config.schema.values import as_name
from sandbox.errors import UsageError
from sandbox.names import Home
from sandbox.system import files

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fetched:
    """A spec that was found: its file, the folder of its project, and the name for a spec that has none.

    `bundle` is the bundle file whose components are not loaded yet, because the user has to agree to that first.
    """

    file: Path
    root: Path
    origin: Origin
    called: str | None = None
    bundle: Path | None = None

    def with_data(self, spec: Spec, home: Home, *, agreed: bool) -> Spec:
        """Return the spec with its data moved from the project's folder to where every revision finds it.

        Unless the user has `agreed` to it, nothing is moved.
        """
        if not self.origin.is_fetched:
            return spec
        data = home.sandbox(spec.name).data / self.origin.folder_name
        return checkouts.keeping(spec, self.root, data, copied=agreed)

    def complete(self, home: Home, session: Session) -> None:
        """Load the programs and images of the bundle, now that the user agrees to them. Raises SandboxError."""
        if self.bundle is None:
            return
        with session.locked(home.bundle, "the bundle", "up"), opened(self.bundle) as bundle:
            _require_identity(bundle, self.origin.revision)
            session.say(f"{self.bundle}: checking and unpacking")
            bundle_load.load(bundle, Store(home.bundle))
        consent.note_components(home, self.origin.revision)


@contextmanager
def fetched(
    source: str, home: Home, session: Session, *, identity: str | None = None, trusted: bool = False
) -> Iterator[Fetched]:
    """Yield the spec of `source`; what is no folder of this machine is fetched into the cache and kept for the block.

    A git repository may be followed by `#BRANCH`, `#BRANCH:FOLDER` or `#:FOLDER`. A bundle must have the `identity`, if
    one is given; its components are loaded with it if the user agreed before or now (`trusted`). Raises SandboxError.
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
    if is_folder:
        file = _existing(path / DEFAULT_FILE, source)
        yield Fetched(file, path, Origin.of(file))
        return
    with checkouts.using(home, session) as use:
        if repository is None:
            found = _unpacked(path, home, session, identity=identity, trusted=trusted)
        else:
            found = _cloned(repository, home, session.say)
        use(found.root)
        yield found


def _unpacked(file: Path, home: Home, session: Session, *, identity: str | None, trusted: bool) -> Fetched:
    """Return the project of a bundle; load the bundle's components too, if the user has agreed to that."""
    say = session.say
    with session.locked(home.bundle, "the bundle", "up"), opened(file) as bundle:
        say(f"{bundle.identity}  {file}")
        if identity is not None:
            _require_identity(bundle, identity)
        name = bundle.contents.project
        if name is None:
            raise UsageError(
                f"{file} contains no sandbox.yaml",
                fix="save one with a sandbox: sandbox bundle save FILE NAME; or: "
                f"sandbox bundle load {shlex.quote(str(file))}",
            )
        root = _place(home, name, bundle.identity)
        agreed = trusted or identity is not None or consent.has_components(home, bundle.identity)
        if agreed or not root.exists():
            say(f"{file}: checking and unpacking")
            bundle_load.load(bundle, Store(home.bundle), None if root.exists() else root, components=agreed)
        if agreed:
            consent.note_components(home, bundle.identity)
        origin = Origin(kind="bundle", source=str(file.absolute()), revision=bundle.identity)
    return Fetched(_spec_in(root, "", file), root, origin, called=name, bundle=None if agreed else file)


def _require_identity(bundle: Bundle, identity: str) -> None:
    if bundle.identity != identity:
        raise UsageError(
            f"{bundle.path} is not the bundle that --identity names",
            details=f"wanted {identity}\nfound  {bundle.identity}",
            fix="copy it again from where it was saved, or ask its author for the identity",
            id="bundle-identity",
        )


def _cloned(repository: Repository, home: Home, say: Say) -> Fetched:
    """Return a copy of the repository as it is now, one for each commit: the copy that a sandbox runs from stays."""
    name = as_name(repository.name) or "repository"
    partial = home.projects / f".{name}.partial"
    say(str(repository))
    shutil.rmtree(partial, ignore_errors=True)
    try:
        commit = repository.clone(partial)
        root = _place(home, f"{name}-{commit[:12]}", f"{repository.url} {commit}")
        if root.exists():
            checkouts.restore(partial, root)
        else:
            partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    origin = Origin(kind="git", source=str(repository), revision=commit)
    called = Path(repository.below).name or repository.name
    return Fetched(_spec_in(root, repository.below, repository), root, origin, called)


def _spec_in(root: Path, below: str, source: object) -> Path:
    """Return the sandbox.yaml in the folder `below` of a project; it must be a file within that project."""
    file = root / below / DEFAULT_FILE
    if not files.is_inside(root, file):
        raise UsageError(f"the {DEFAULT_FILE} of {source} is a link to a place outside", details=os.path.realpath(file))
    return _existing(file, source)


def _existing(file: Path, source: object) -> Path:
    if not file.is_file():
        raise UsageError(f"{source} has no {DEFAULT_FILE}", fix="create one with: sandbox init")
    return file


def _place(home: Home, name: str, identity: str) -> Path:
    """Return the folder where a fetched project is kept, so that later commands find what its spec names.

    Its name has the whole digest: another project could be made to have the same short one.
    """
    return home.projects / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()}"
