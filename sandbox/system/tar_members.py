"""The members of a tar that others wrote, where tarfile itself keeps whatever size a header claims in memory."""

import tarfile
from typing import NoReturn, Self

ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
LARGEST_HEADER = 64 << 10  # bytes; those of long names and attributes have some hundred
_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
# What tarfile raises for a tar that is incomplete, not packed correctly, or has wrong numbers or too many headers in a
# row, which it does not check.
BROKEN = (EOFError, tarfile.TarError, ValueError, OverflowError, RecursionError)


def broken() -> tuple[type[Exception], ...]:
    """Return the same, and what zstandard raises."""
    import zstandard

    return (*BROKEN, zstandard.ZstdError)


class LimitedMember(tarfile.TarInfo):
    """A member with headers of a usual size, for tarfile's `tarinfo`; sparse files are refused: their map has no limit.

    They raise ReadError: after a HeaderError tarfile would take what it has for the whole.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _HEADERS and member.size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        if member.type == tarfile.GNUTYPE_SPARSE:
            member._proc_gnusparse_10()
        return member

    def _proc_gnusparse_10(self, *_: object) -> NoReturn:
        raise tarfile.ReadError("a sparse file")
