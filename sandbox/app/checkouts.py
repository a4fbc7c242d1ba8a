"""The copies of fetched projects in the cache, kept as long as a sandbox or a command uses them.

A command that uses a copy locks its folder (flock(2)), so that the use ends with the command, however it ends. What a
sandbox writes is not in the copy but in the state folder, where it stays when the next commit gets a copy of its own.
"""

from __future__ import annotations

import fcntl
import filecmp
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sandbox.app.session import Session
from sandbox.config.schema import Spec
from sandbox.config.schema.cluster_schema import Mount
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.system import files


@contextmanager
def using(home: Home, session: Session) -> Iterator[Callable[[Path], None]]:
    """Keep other commands from removing copies until the yielded function has chosen one, and then that one.

    The chosen copy is kept for the rest of the block.
    """
    with ExitStack() as stack:
        choosing = stack.enter_context(ExitStack())
        choosing.enter_context(session.locked(home.projects, "projects from elsewhere", "up"))

        def use(folder: Path) -> None:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            choosing.close()

        yield use


def sweep(home: Home) -> None:
    """Remove the copies that no sandbox, snapshot or running command uses; does nothing while one is being fetched."""
    if not home.projects.is_dir():
        return
    with suppress(SandboxError), files.exclusive(home.projects, seconds=0):
        kept = [*_texts(home.sandboxes), *_texts(home.snapshots)]
        for folder in home.projects.iterdir():
            if folder.is_dir() and not any(f"/{folder.name}" in text for text in kept) and not _is_in_use(folder):
                shutil.rmtree(folder, ignore_errors=True)


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


def _is_in_use(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
