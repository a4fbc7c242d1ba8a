"""Where a sandbox may be brought up from besides a file: a folder, a git repository, a bundle file with one in it."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from sandbox.api.world import DEFAULT_FILE
from sandbox.bundle import loading
from sandbox.bundle.reading import opened
from sandbox.bundle.store import Store
from sandbox.errors import UsageError
from sandbox.host import files, process
from sandbox.host.process import ToolFailed
from sandbox.names import Home

TIMEOUT = 600.0
_GIT = re.compile(r"(https?|ssh|git|file)://[^\s]+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\s]+")


def fetch(source: str, home: Home, say: Callable[[str], None]) -> Path:
    """The sandbox.yaml of `source`, fetched into the cache when it is not a folder of this machine.

    A git repository may be followed by `#BRANCH`, `#BRANCH:FOLDER` or `#:FOLDER`. Raises SandboxError.
    """
    path = Path(source)
    if path.is_dir():
        folder = path
    elif path.is_file():
        folder = _unpacked(path, home, say)
    elif _GIT.fullmatch(source):
        folder = _cloned(source, home, say)
    else:
        raise UsageError(
            f"{source} is no folder, no bundle file and no git repository",
            fix="--from FOLDER, --from FILE.bundle, or --from https://…#BRANCH:FOLDER",
        )
    if not folder.joinpath(DEFAULT_FILE).is_file():
        raise UsageError(f"{source} has no {DEFAULT_FILE}", fix="`sandbox init` writes one there")
    return folder / DEFAULT_FILE


def _unpacked(file: Path, home: Home, say: Callable[[str], None]) -> Path:
    """The project of a bundle, and everything else that is in it in the cache."""
    files.make_private_dir(home.bundle)
    with files.exclusive(home.bundle, seconds=TIMEOUT), opened(file) as bundle:
        name = bundle.contents.project
        if name is None:
            raise UsageError(
                f"{file} holds no sandbox.yaml",
                fix=f"save one with a sandbox: sandbox bundle save FILE NAME; or: sandbox bundle load {file}",
            )
        folder = _place(home, name, bundle.identity)
        say(f"{file}: checking and unpacking")
        loading.load(bundle, Store(home.bundle), None if folder.exists() else folder)
    return folder


def _cloned(source: str, home: Home, say: Callable[[str], None]) -> Path:
    """A shallow copy of the repository as it is now."""
    url, _, fragment = source.partition("#")
    branch, _, below = fragment.partition(":")
    if branch.startswith("-") or ".." in Path(below).parts or Path(below).is_absolute():
        raise UsageError(f"'{fragment}' is no branch and folder of a repository", fix="write #BRANCH:FOLDER")
    folder = _place(home, Path(url.rstrip("/")).name.removesuffix(".git") or "repository", source)
    partial = folder.with_name(f".{folder.name}.partial")
    say(url)
    with files.exclusive(folder.parent, seconds=TIMEOUT):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            chosen = ["--branch", branch] if branch else []
            argv: list[str | Path] = ["git", "clone", "--quiet", "--depth", "1", *chosen, "--", url, partial]
            process.run(argv, timeout=TIMEOUT, env={"GIT_TERMINAL_PROMPT": "0"})
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        except ToolFailed as error:
            raise UsageError(
                f"{url} cannot be cloned", details=error.details, fix="check the address and the branch"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder / below


def _place(home: Home, name: str, identity: str) -> Path:
    """Where a fetched project is kept, so that later commands find what its spec names."""
    files.make_private_dir(home.projects)
    return home.projects / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
