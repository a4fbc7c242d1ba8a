"""The files in a tar on disk, read by name in any order; links are followed, and a compressed tar is unpacked."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import posixpath
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import zstandard

from sandbox.images.sources.layout import LARGEST_DOCUMENT
from sandbox.oci.digest import CHUNK
from sandbox.oci.oci_errors import BadImage
from sandbox.system import files, tar_members
from sandbox.system.tar_members import ZSTD, LimitedMember

# Larger unpacked content than this factor of the file is an attack; gzip itself ends at 1032.
SWELL = 1100
ROOM = 1 << 20
MOST_LINKS = 16
# What reading raises for a file that is incomplete or not packed correctly.
BROKEN = (OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError, *tar_members.BROKEN)


def unnamed_file(folder: Path | None, stack: contextlib.ExitStack) -> IO[bytes]:
    """Return a new file in `folder`, else where the system has temporary files, open as long as `stack`."""
    if folder:
        files.make_private_dir(folder)
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed with the stack
    stack.callback(_close, file)
    return file


def _close(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # of a full disk, which was reported
        file.close()


def _open_zstd(path: Path) -> IO[bytes]:  # before 3.14 Python's own does not know zstd
    return zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True)


_OPENERS: Mapping[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zX": lzma.open,
    ZSTD: _open_zstd,
}


@dataclass(frozen=True)
class Members:
    """The regular files of the archive at `path`, whose tar is in `file`: the first byte and the size of each."""

    path: Path
    file: Path
    places: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, path: Path, stack: contextlib.ExitStack) -> Members:
        """Read the table of a tar; a compressed one is unpacked into a file that lasts as long as `stack`.

        Raises SandboxError.
        """
        if path.is_dir():
            raise BadImage(f"{path} is a folder, not an archive", fix="write `from: layout` for an OCI layout")
        files.require_regular(path)  # a pipe would be waited for
        try:
            file = _unpacked(path, stack)
            with tarfile.open(file, "r:", tarinfo=LimitedMember) as tar:
                return cls(path, file, _places(tar, file.stat().st_size))
        except BROKEN as error:
            raise BadImage(
                f"{path} is not a readable tar archive", details=str(error), fix="correct `path:`, or write it again"
            ) from error

    def __contains__(self, name: str) -> bool:
        return name in self.places

    def size(self, name: str) -> int:
        return self.places[name][1]

    def document(self, name: str) -> bytes | None:
        if name not in self.places:
            return None
        if self.size(name) > LARGEST_DOCUMENT:
            raise BadImage(f"{name} in {self.path} is too large", details=f"{self.size(name)} bytes")
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Generator[bytes]:
        start, left = self.places[name]
        try:
            with self.file.open("rb") as file:
                file.seek(start)
                while left and (chunk := file.read(min(left, CHUNK))):
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise BadImage(f"{self.path} cannot be read", details=str(error)) from error
        if left:
            raise BadImage(f"{self.path} ends within {name}", fix="write the archive again")


def _unpacked(path: Path, stack: contextlib.ExitStack) -> Path:
    with path.open("rb") as file:
        head = file.read(len(ZSTD))
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
    if opener is None:
        return path
    unpacked, most = unnamed_file(None, stack), path.stat().st_size * SWELL + ROOM
    with contextlib.closing(opener(path)) as packed:
        while chunk := packed.read(CHUNK):
            if unpacked.tell() > most:
                raise tarfile.ReadError(f"it would be more than {most} bytes")
            unpacked.write(chunk)
    unpacked.flush()
    return Path(f"/proc/self/fd/{unpacked.fileno()}")


def _places(tar: tarfile.TarFile, end: int) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    links: dict[str, str] = {}
    for member in tar:
        if not 0 <= member.size <= end - member.offset_data:  # below zero, tarfile goes in circles: CVE-2025-8194
            raise tarfile.ReadError(f"{member.name} would be {member.size} bytes")
        name = posixpath.normpath(member.name)
        if member.isfile():
            places[name] = (member.offset_data, member.size)
        elif member.issym():
            links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        elif member.islnk():
            links[name] = posixpath.normpath(member.linkname)
    for name, place in links.items():
        for _ in range(MOST_LINKS):
            place = links.get(place, place)
        if place in places:
            places[name] = places[place]
    return places
