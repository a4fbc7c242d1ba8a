"""The copies of fetched projects in the cache, kept as long as a sandbox or a command uses them.

A sandbox writes into the state folder instead, where its data stays when the next commit gets another copy.
"""

from __future__ import annotations

import fcntl
import filecmp
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox.config.schema import Spec
from sandbox.config.schema.cluster_schema import Mount
from sandbox.errors import SandboxError, UsageError
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


def keeping(spec: Spec, root: Path, data: Path, *, copied: bool = True) -> Spec:
    """Return the spec with the registry's data and mounts that lie in the project `root` moved below the folder `data`.

    What nodes may write is copied once and then left alone: a link that they make there would have us write elsewhere.
    What they only read is made the same as in the project each time. Unless `copied`, nothing is written: running nodes
    may have these files mounted. Raises SandboxError.
    """

    def placed(mount: Mount) -> Mount:
        below = _below(root, mount.host)
        if below is None:
            return mount
        place = _kept(data, "read" if mount.read_only else "written", below)
        if not copied:
            return mount.model_copy(update={"host": place}) if place.exists() else mount
        files.make_private_dir(data)
        if mount.read_only or not place.exists():
            restore(Path(os.path.realpath(mount.host)), place, whole=True)
        return mount.model_copy(update={"host": place})

    storage = spec.registry.storage
    if storage and (below := _below(root, storage)) is not None:
        storage = _kept(data, "written", below)
    update: dict[str, object] = {}
    if storage != spec.registry.storage:
        update["registry"] = spec.registry.model_copy(update={"storage": storage})
    if spec.cluster.mounts:
        update["cluster"] = spec.cluster.model_copy(update={"mounts": tuple(map(placed, spec.cluster.mounts))})
    return spec.model_copy(update=update)


def _kept(data: Path, kind: str, below: str) -> Path:
    """Return the place of a file or folder of the project in its data. Raises SandboxError where a link leads out."""
    place = data / kind / below
    if not files.is_inside(data, place):
        raise SandboxError(f"{place} leads out of the sandbox's data", details=os.path.realpath(place), id="file")
    return place


def _below(root: Path, path: Path) -> str | None:
    """Return the path relative to the folder `root`, None where it leads out of it."""
    found = os.path.relpath(path, root)
    return None if Path(found).parts[:1] == (os.pardir,) or not files.is_inside(root, path) else found


def restore(source: Path, place: Path, *, whole: bool = False) -> None:
    """Make the file or folder `place` like `source`, file by file, since nodes may have it mounted.

    Git's own files are left out. With `whole`, what `source` does not have is removed. Raises SandboxError.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _restore(source, place)
        if not source.is_dir():
            return
        wanted = {path.relative_to(source): path for path in source.rglob("*")}
        for below, path in sorted(wanted.items()):
            if below.parts[0] != ".git":
                _restore(path, place / below)
        for path in sorted(place.rglob("*"), reverse=True) if whole else ():
            if path.relative_to(place) not in wanted:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise files.refused(f"{place} cannot be written", error) from error


def _restore(path: Path, place: Path) -> None:
    """Copy the file, folder (without what is in it) or link `path` to `place`, which is not touched if it is the same.

    Images are built again when a file has changed, which the time of its last `chmod` tells as well.
    """
    if path.is_symlink() and place.is_symlink() and path.readlink() == place.readlink():
        return
    if path.is_symlink() or place.is_symlink() or place.is_dir() != path.is_dir():
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    if path.is_symlink():
        place.symlink_to(path.readlink())
    elif path.is_dir():
        place.mkdir(exist_ok=True)
    elif path.is_file():
        if not (place.exists() and filecmp.cmp(path, place, shallow=False)):
            shutil.copyfile(path, place)
        if path.stat().st_mode != place.stat().st_mode:
            shutil.copymode(path, place)


def _texts(folder: Path) -> Iterator[str]:
    """Yield the texts of the specs kept below `folder`; they name the files of their projects by absolute paths."""
    for file in folder.rglob("spec.json"):
        with suppress(OSError):
            yield file.read_text(errors="replace", encoding="utf-8")
