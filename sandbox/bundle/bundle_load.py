"""Reads a bundle file: `load` unpacks it into the cache, so that `up` needs no network, and `scan` verifies it.

The file is read once from front to back. Nothing in it is trusted: every entry is checked against the list in its head.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import IO, cast

from pydantic import ValidationError

from sandbox.bundle import contents as described
from sandbox.bundle.contents import Contents, Damaged, File
from sandbox.bundle.store import Store
from sandbox.errors import BadFile, SandboxError, UsageError
from sandbox.oci import digest as digests
from sandbox.system import files, tar_members
from sandbox.system.tar_members import ZSTD, LimitedMember

LARGEST_HEAD = 16 << 20  # bytes
CHUNK = 1 << 20
SPARE = 64 << 20  # bytes to leave free on the disk
MOST_FAULTS = 1000  # a small packed file can have members without end

# Returns where the bytes of a file are written, or None if they are only verified.
Take = Callable[[File], AbstractContextManager[IO[bytes]] | None]


class Bundle:
    """An open bundle file; its `contents` are read first, and `scan` reads its files once, in order."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self.path = path
        self._tar = tar
        head = self._head()
        self.identity = digests.of(head)
        try:
            self.contents = Contents.model_validate_json(head)
        except ValidationError as error:
            raise Damaged(
                f"{path} is not a bundle that this version can read",
                details="\n".join(f"{described.NAME}: {fault['msg']}" for fault in error.errors()[:5]),
                fix="save it again, or use the version of sandbox that saved it",
            ) from error

    def scan(self, take: Take) -> list[str]:
        """Read everything and pass each file that the head lists to `take`. Returns one line for each fault.

        A file whose content does not have the listed digest is written as well, and named among the faults.
        """
        missing = {file.path: file for file in self.contents.files}
        faults: list[str] = []
        place, spare = described.NAME, self.contents.size
        try:
            while (member := self._tar.next()) is not None:
                file = missing.pop(member.name, None)
                if file is None:
                    faults.append(f"{_shown(member.name)}: not in the list, or in the bundle twice")
                elif not member.isreg():
                    faults.append(f"{file.path}: a link, a folder or a device instead of a file")
                elif member.size != file.size:
                    faults.append(f"{file.path}: {member.size} bytes instead of {file.size}")
                else:
                    place = file.path
                    faults += self._read(member, file, take(file))
                if file is None or member.size != file.size:
                    spare -= member.size  # a small packed file can have it without end
                if len(faults) >= MOST_FAULTS or spare < 0:
                    break
        except tar_members.broken() as error:
            faults.append(f"{place}: the bundle ends in it or after it ({error})")
        return faults + [f"{path}: missing" for path in missing if path != place]

    def _read(self, member: tarfile.TarInfo, file: File, opened: AbstractContextManager[IO[bytes]] | None) -> list[str]:
        data = digests.Measured(_chunks(cast("IO[bytes]", self._tar.extractfile(member))))
        with opened or nullcontext() as out:
            for chunk in data:
                if out:
                    out.write(chunk)
        return [] if data.digest == f"sha256:{file.sha256}" else [f"{file.path}: changed"]

    def _head(self) -> bytes:
        member = self._tar.next()
        if member is None or member.name != described.NAME or not member.isreg() or member.size > LARGEST_HEAD:
            raise _no_bundle(self.path, f"its first entry is not {described.NAME}")
        return cast("IO[bytes]", self._tar.extractfile(member)).read()


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """Open the bundle in the file `path`. Raises UsageError if it is not a bundle, Damaged if it cannot be read."""
    with ExitStack() as stack:
        try:
            data = stack.enter_context(_unpacked(stack.enter_context(_file(path))))
            tar = stack.enter_context(tarfile.open(fileobj=data, mode="r|", bufsize=CHUNK, tarinfo=LimitedMember))
            bundle = Bundle(path, tar)
        except tar_members.broken() as error:
            raise _no_bundle(path, str(error)) from error
        yield bundle


def load(bundle: Bundle, store: Store, project: Path | None = None, *, components: bool = True) -> Contents:
    """Load every component that `store` lacks, and the project into the folder `project` if that is given.

    Without `components` only the project is loaded, which is data: the user has not agreed to the programs yet.
    Everything is checked before anything gets its final name. Raises Damaged, which names each changed file, and
    SandboxError if the bundle is for another machine or version, or the disk is too full.
    """
    contents = bundle.contents
    described.require_fit(contents)
    folders = {component.path: f"{component.name}-{component.digest}" for component in contents.components}
    targets = {path: store.root / name for path, name in folders.items() if components}
    targets = {path: folder for path, folder in targets.items() if not folder.exists()}
    if project is not None and contents.project is not None:
        targets[described.PROJECT] = project
    _require_room(store.root, sum(file.size for file in contents.files if _folder(file) in targets))
    partial = store.root / ".load.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        faults = bundle.scan(lambda file: _writing(file, partial) if _folder(file) in targets else None)
        if faults:
            raise damaged(bundle, faults)
        for path, folder in targets.items():
            if not partial.joinpath(path).exists():
                continue
            if path == described.PROJECT:
                partial.joinpath(path).rename(folder)
            else:
                store.place(partial / path, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return contents


def damaged(bundle: Bundle, faults: list[str]) -> Damaged:
    """Return the error for a bundle with `faults`."""
    return Damaged(
        f"{bundle.path} is damaged: its files are not as they were saved ({len(faults)}); nothing was loaded",
        details="\n".join(faults[:20]),
        fix="copy it again, and check the copy with `sandbox bundle verify`",
    )


def _folder(file: File) -> str:
    top, _, rest = file.path.partition("/")
    return f"{top}/{rest.partition('/')[0]}" if top == described.COMPONENTS else top


@contextmanager
def _writing(file: File, partial: Path) -> Iterator[IO[bytes]]:
    path = partial / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as out:
        yield out
        os.fchmod(out.fileno(), 0o755 if file.executable else 0o644)


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise SandboxError(
            f"the bundle needs {needed / 1e9:.1f} GB in {folder}; {free / 1e9:.1f} GB are free",
            fix="free some space, or set XDG_CACHE_HOME to a folder on a larger disk",
            id="disk-full",
        )


def _file(path: Path) -> IO[bytes]:
    try:
        if path.exists() and not path.is_dir():
            files.require_regular(path)  # a pipe would be waited for, and cannot be read from its start again
        return path.open("rb")
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file", fix="`sandbox bundle save FILE` makes one") from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder, not a bundle file") from error
    except OSError as error:
        raise BadFile(f"{path} cannot be read", details=str(error)) from error


@contextmanager
def _unpacked(file: IO[bytes]) -> Iterator[IO[bytes]]:
    magic = file.read(len(ZSTD))
    file.seek(0)
    if magic != ZSTD:
        yield file
        return
    import zstandard

    with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as data:
        yield cast("IO[bytes]", data)


def _chunks(data: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: data.read(CHUNK), b"")


def _shown(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name[:200])


def _no_bundle(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} is not a bundle", details=why, fix="`sandbox bundle save FILE` makes one")
