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

    def __init__(self, brief: str, *, details: str = "") -> None:
        super().__init__(brief, details=details, fix="push again, or write `daemon: save` at the top of images.yaml")


class Files(Protocol):
    """Regular files below folders of the engine. Names are relative to `folder`; every method raises Unreadable."""

    def sizes(self, folder: Path, names: Sequence[str]) -> Mapping[str, int]:
        pass

    def read(
        self, folder: Path, names: Sequence[bytes], sizes: Sequence[int]
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Yield the bytes of all files one after another, of each as many as `sizes` says."""


# Makes folders of the engine readable, and only those.
Opening = Callable[[Sequence[Path]], AbstractContextManager[Files]]


class OpenedFiles:
    def sizes(self, folder: Path, names: Sequence[str]) -> Mapping[str, int]:
        sizes = {}
        for name in names:
            with contextlib.suppress(OSError):
                status = (folder / name).lstat()
                if stat.S_ISREG(status.st_mode):
                    sizes[name] = status.st_size
        return sizes

    def read(
        self, folder: Path, names: Sequence[bytes], sizes: Sequence[int]
    ) -> AbstractContextManager[Iterator[bytes]]:
        return contextlib.closing(_contents(folder, names, sizes))


def _contents(root: Path, names: Sequence[bytes], sizes: Sequence[int]) -> Generator[bytes]:
    for name, size in zip(names, sizes, strict=True):
        left = size
        try:
            with open(_opened(root, name), "rb", buffering=0) as file:
                while left and (piece := file.read(min(left, CHUNK))):
                    left -= len(piece)
                    yield piece
        except OSError as error:
            brief = f"{os.fsdecode(name)} in the engine's folder cannot be read"
            raise Unreadable(brief, details=str(error)) from error
        if left:
            raise Unreadable("a file in the engine's folder is too short", details=repr(name))


def _opened(root: Path, name: bytes) -> int:
    """Open a file below `root`; a link on the way, even of a folder, is an error."""
    *folders, base = name.split(b"/")
    with contextlib.ExitStack() as stack:
        folder = os.open(root, _FOLDER)
        stack.callback(os.close, folder)
        for part in folders:
            folder = os.open(part, _FOLDER, dir_fd=folder)
            stack.callback(os.close, folder)
        file = os.open(base, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError("it is not a file")
    return file
