"""A tar that passes once reads as `tarfile` reads it, however it is cut, and damage is an error for people."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import SandboxError
from sandbox.images.sources.tar_stream import Tape

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=150)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def written(files: list[tuple[str, bytes]], kind: int, **pax: str) -> bytes:
    """A tar with a folder and a link before every file."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=kind, pax_headers={"comment": "all of it"}) as tar:
        for name, data in files:
            for other in (tarfile.DIRTYPE, tarfile.SYMTYPE):
                extra = tarfile.TarInfo("extra")
                extra.type, extra.linkname = other, "l" * 120 if kind != tarfile.USTAR_FORMAT else "l"
                tar.addfile(extra)
            member = tarfile.TarInfo(name)
            member.size, member.pax_headers = len(data), pax
            tar.addfile(member, io.BytesIO(data))
    return output.getvalue()


@given(
    st.lists(st.tuples(names, st.binary(max_size=2000)), max_size=4),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.integers(1, 3000),
    st.booleans(),
)
def test_files_come_out_as_they_went_in(files: list[tuple[str, bytes]], kind: int, size: int, skip: bool) -> None:
    tape = Tape(cut(written(files, kind), size))
    found = [(member.name, b"" if skip else tape.read(), member.size) for member in tape]
    assert found == [(name, b"" if skip else data, len(data)) for name, data in files]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_of_a_tar_is_read(kind: str) -> None:
    tape = Tape(cut(written([("a/b", b"x" * 700), ("c", b"")], FORMATS[kind]), 333))
    assert [(member.name, tape.read()) for member in tape] == [("a/b", b"x" * 700), ("c", b"")]


def test_a_size_in_a_pax_header_counts() -> None:
    data = bytearray(written([("big", b"y" * 600)], tarfile.PAX_FORMAT, size="600"))
    tape = Tape(cut(bytes(data), 512))
    assert [(member.size, tape.read()) for member in tape] == [(600, b"y" * 600)]


@pytest.mark.fault(47)
@pytest.mark.parametrize("keep", [0, 100, 512, 2000, 3000])
def test_a_tar_that_breaks_off_is_an_error(keep: int) -> None:
    """A tar that ends in the middle → "broke off"."""
    data = written([("a", b"x" * 5000)], tarfile.USTAR_FORMAT)[:keep]
    with pytest.raises(SandboxError, match="broke off"):
        [tape.read() for tape in [Tape(cut(data, 100))] for _ in tape]


def test_non_tar_is_an_error() -> None:
    with pytest.raises(SandboxError, match="no tar"):
        list(Tape(iter([b"noise" * 300])))
