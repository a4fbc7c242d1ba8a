"""The copies of fetched projects in the cache, kept as long as a sandbox or a command uses them."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox.config.schema import Spec
from sandbox.errors import UsageError
from sandbox.names import Home
from sandbox.system import files


@contextmanager
def in_use(home: Home) -> Iterator[None]:
    """Keep other commands from removing copies for the block. The lock ends with the process, however it ends."""
    files.make_private_dir(home.projects)
    with _locked(home, fcntl.LOCK_SH):
        yield


def sweep(home: Home) -> None:
    """Remove the copies that no sandbox or snapshot uses; does nothing while a command may be choosing one."""
    if not home.projects.is_dir():
        return
    with suppress(BlockingIOError), _locked(home, fcntl.LOCK_EX | fcntl.LOCK_NB):
        kept = [*_texts(home.sandboxes), *_texts(home.snapshots)]
        for folder in home.projects.iterdir():
            if not any(f"/{folder.name}" in text for text in kept):
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(home: Home, how: int) -> Iterator[None]:
    descriptor = os.open(home.projects, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def require_no_links_out(root: Path) -> None:
    """Raise UsageError for a link in the project that leads out of it: programs that read it would follow the link."""
    for folder, folders, names in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *names)):
            if path.is_symlink() and not files.is_inside(root, path):
                raise UsageError(
                    f"{path.relative_to(root)} of the project is a link to a place outside",
                    details=f"{path} -> {os.path.realpath(path)}",
                    fix="if you trust it, clone it yourself and name the folder: sandbox up --from FOLDER",
                )


def require_no_data(spec: Spec, root: Path) -> None:
    """Raise UsageError for data inside the project: each commit has another copy, which would begin without it."""
    mounts = {f"cluster.mounts[{index}].host": mount.host for index, mount in enumerate(spec.cluster.mounts)}
    storage = {"registry.storage": spec.registry.storage} if spec.registry.storage else {}
    for key, path in {**mounts, **storage}.items():
        if files.is_inside(root, path):
            raise UsageError(
                f"{key} is a folder of a project from elsewhere",
                details=f"{path}: each commit has another copy of the project, and nodes write into it",
                fix="clone it yourself and name the folder: sandbox up --from FOLDER",
            )


def _texts(folder: Path) -> Iterator[str]:
    """Yield the texts of the specs kept below `folder`; they name the files of their projects by absolute paths."""
    for file in folder.rglob("spec.json"):
        with suppress(OSError):
            yield file.read_text(errors="replace", encoding="utf-8")
