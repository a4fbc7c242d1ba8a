"""A tar reads as `tarfile` reads it, however it is cut."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import SandboxError
from sandbox.images.sources.tar_stream import TarStream
from sandbox.system import interruption
from tests.support.odd_layers import with_record

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
    tar = TarStream(cut(written(files, kind), size))
    found = [(member.name, b"" if skip else tar.read(), member.size) for member in tar]
    assert found == [(name, b"" if skip else data, len(data)) for name, data in files]


def test_save_is_not_read_on_once_the_command_is_interrupted() -> None:
    read: list[int] = []

    def stream() -> Iterator[bytes]:
        for chunk in cut(written([("a", b"x" * 1_000_000)], tarfile.GNU_FORMAT), 10_000):
            read.append(len(chunk))
            if len(read) == 3:
                interruption.request()
            yield chunk

    tar = TarStream(stream())
    try:
        with pytest.raises(interruption.Interrupted):
            for _ in tar:
                tar.read()
    finally:
        interruption.clear()
    assert len(read) == 3


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_of_a_tar_is_read(kind: str) -> None:
    tar = TarStream(cut(written([("a/b", b"x" * 700), ("c", b"")], FORMATS[kind]), 333))
    assert [(member.name, tar.read()) for member in tar] == [("a/b", b"x" * 700), ("c", b"")]


def test_a_size_in_a_pax_header_counts() -> None:
    data = bytearray(written([("big", b"y" * 600)], tarfile.PAX_FORMAT, size="600"))
    tar = TarStream(cut(bytes(data), 512))
    assert [(member.size, tar.read()) for member in tar] == [(600, b"y" * 600)]


@pytest.mark.fault(47)
@pytest.mark.parametrize("keep", [0, 100, 512, 2000, 3000])
def test_a_tar_that_breaks_off_is_an_error(keep: int) -> None:
    """A tar that ends in the middle → "broke off"."""
    data = written([("a", b"x" * 5000)], tarfile.USTAR_FORMAT)[:keep]
    with pytest.raises(SandboxError, match="broke off"):
        [tar.read() for tar in [TarStream(cut(data, 100))] for _ in tar]


@pytest.mark.parametrize(
    "record", ["0 path=x\n", "-9 path=x\n", "1 path=x\n", "x path=x\n", "11 size=-9\n", "12 size=abc\n"]
)
def test_pax_header_with_a_wrong_number_is_an_error(record: str) -> None:
    """They would be read for ever, or end as a bug of sandbox."""
    with pytest.raises(SandboxError, match="damaged"):
        list(TarStream(cut(with_record(record), 512)))


def test_non_tar_is_an_error() -> None:
    with pytest.raises(SandboxError, match="no tar"):
        list(TarStream(iter([b"noise" * 300])))
