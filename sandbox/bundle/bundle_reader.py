"""Reads a bundle file front to back, trusting nothing in it: every entry is checked against the list at its head."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, cast

from pydantic import ValidationError

from sandbox.bundle import contents as described
from sandbox.bundle.contents import Contents, Damaged, File
from sandbox.errors import UsageError

LARGEST_HEAD = 16 << 20
CHUNK = 1 << 20
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1

# Where the bytes of a file go; None: they are checked and dropped.
Take = Callable[[File], AbstractContextManager[IO[bytes]] | None]


class Bundle:
    """A bundle file that is being read; its `contents` are known first, its files come in their order, once."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self.path = path
        self._tar = tar
        head = self._head()
        self.identity = "sha256:" + hashlib.sha256(head).hexdigest()
        try:
            self.contents = Contents.model_validate_json(head)
        except ValidationError as error:
            raise Damaged(
                f"{path} is not a bundle that this version can read",
                details="\n".join(f"{described.NAME}: {one['msg']}" for one in error.errors()[:5]),
                fix="save it again, or use the version of sandbox that saved it",
            ) from error

    def scan(self, take: Take) -> list[str]:
        """Read everything, handing each file that is as listed to `take`; gives what is wrong, a line for each file.

        What `take` opened for a file that turns out to be another is closed, and named in the answer, like the rest.
        """
        missing = {file.path: file for file in self.contents.files}
        faults = []
        place = described.NAME
        try:
            while (member := self._tar.next()) is not None:
                file = missing.pop(member.name, None)
                if file is None:
                    faults.append(f"{_shown(member.name)}: not in the list, or there twice")
                elif not member.isreg():
                    faults.append(f"{file.path}: a link, a folder or a device instead of a file")
                elif member.size != file.size:
                    faults.append(f"{file.path}: {member.size} bytes instead of {file.size}")
                else:
                    place = file.path
                    faults += self._read(member, file, take(file))
        except _broken() as error:
            faults.append(f"{place}: the bundle breaks off in it or after it ({error})")
        return faults + [f"{path}: missing" for path in missing if path != place]

    def _read(self, member: tarfile.TarInfo, file: File, opened: AbstractContextManager[IO[bytes]] | None) -> list[str]:
        data, measure = cast("IO[bytes]", self._tar.extractfile(member)), hashlib.sha256()
        if opened is None:
            for chunk in _chunks(data):
                measure.update(chunk)
        else:
            with opened as out:
                for chunk in _chunks(data):
                    measure.update(chunk)
                    out.write(chunk)
        return [] if measure.hexdigest() == file.sha256 else [f"{file.path}: changed"]

    def _head(self) -> bytes:
        member = self._tar.next()
        if member is None or member.name != described.NAME or not member.isreg() or member.size > LARGEST_HEAD:
            raise _no_bundle(self.path, f"its first entry is not {described.NAME}")
        return cast("IO[bytes]", self._tar.extractfile(member)).read()


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """The bundle in the file `path`. Raises UsageError for what is none, Damaged for one that cannot be read."""
    try:
        with (
            path.open("rb") as file,
            _unpacked(file) as data,
            tarfile.open(fileobj=data, mode="r|", bufsize=CHUNK) as tar,
        ):
            yield Bundle(path, tar)
    except _broken() as error:
        raise _no_bundle(path, str(error)) from error
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file", fix="`sandbox bundle save FILE` makes one") from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder, not a bundle file") from error


@contextmanager
def _unpacked(file: IO[bytes]) -> Iterator[IO[bytes]]:
    magic = file.read(len(_ZSTD))
    file.seek(0)
    if magic != _ZSTD:
        yield file
        return
    import zstandard

    with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as data:
        yield cast("IO[bytes]", data)


def _broken() -> tuple[type[Exception], ...]:
    """What reading raises when the file is cut short or its packing does not add up."""
    import zstandard

    return (EOFError, tarfile.TarError, zstandard.ZstdError)


def _chunks(data: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: data.read(CHUNK), b"")


def _shown(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name[:200])


def _no_bundle(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} is not a bundle", details=why, fix="`sandbox bundle save FILE` makes one")
