"""Files in the folders of a Docker Engine on this machine, read by this process."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sandbox.errors import SandboxError
from sandbox.oci.digest import CHUNK

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO in the place of a file must not block this process, nor a terminal become its own.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class Unreadable(SandboxError):
    """The engine's own files do not give a layer; its `save` may."""


class Files(Protocol):
    """Regular files below folders of the engine. Names are relative to `folder`; every method raises Unreadable."""

    def sizes(self, folder: Path, names: Sequence[str]) -> Mapping[str, int]:
        """Return the sizes of those files that exist."""

    def read(
        self, folder: Path, names: Sequence[bytes], sizes: Sequence[int]
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Yield the bytes of all files one after another, of each as many as `sizes` says."""


# Makes folders of the engine readable, and only those.
Opening = Callable[[Sequence[Path]], AbstractContextManager[Files]]


class OpenedFiles:
    """Opens the files. It follows no link, so nothing outside of a folder is ever read."""

    def sizes(self, folder: Path, names: Sequence[str]) -> Mapping[str, int]:
        found = {}
        for name in names:
            with contextlib.suppress(OSError):
                status = (folder / name).lstat()
                if stat.S_ISREG(status.st_mode):
                    found[name] = status.st_size
        return found

    @contextlib.contextmanager
    def read(self, folder: Path, names: Sequence[bytes], sizes: Sequence[int]) -> Iterator[Iterator[bytes]]:
        with contextlib.closing(_contents(folder, names, sizes)) as chunks:
            yield chunks


def _contents(folder: Path, names: Sequence[bytes], sizes: Sequence[int]) -> Generator[bytes]:
    with contextlib.closing(_Folders(folder)) as folders:
        for name, size in zip(names, sizes, strict=True):
            file, left = folders.open(name), size
            try:
                while left and (piece := os.read(file, min(left, CHUNK))):
                    left -= len(piece)
                    yield piece
            except OSError as error:
                raise _unreadable(name, error) from error
            finally:
                os.close(file)
            if left:
                raise Unreadable("a file in the engine's folder is too short", details=repr(name))


class _Folders:
    """The folders on the way to the last file stay open, for its neighbours."""

    def __init__(self, root: Path) -> None:
        try:
            self._open = [(b"", os.open(root, _FOLDER))]
        except OSError as error:
            raise _unreadable(bytes(root), error) from error

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop()[1])

    def open(self, name: bytes) -> int:
        *folders, base = name.split(b"/")
        try:
            file = os.open(base, _FILE, dir_fd=self._folder(folders))
        except OSError as error:
            raise _unreadable(name, error) from error
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise Unreadable("the engine's folder contains something that is not a file", details=repr(name))
        return file

    def _folder(self, names: list[bytes]) -> int:
        same = 0
        while same < min(len(names), len(self._open) - 1) and names[same] == self._open[same + 1][0]:
            same += 1
        while len(self._open) > same + 1:
            os.close(self._open.pop()[1])
        for name in names[same:]:
            self._open.append((name, os.open(name, _FOLDER, dir_fd=self._open[-1][1])))
        return self._open[-1][1]


def _unreadable(name: bytes, error: OSError) -> Unreadable:
    return Unreadable(f"{os.fsdecode(name)} in the engine's folder cannot be read", details=str(error))
