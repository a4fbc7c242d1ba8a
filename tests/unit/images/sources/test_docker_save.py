"""A save reads as `tarfile` reads it, however it is cut, and layers in its old folders are recognized.

The folders are those that Docker Engine 20.10 really wrote.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import SandboxError
from sandbox.images.sources.docker_save import TarStream, recognised, take
from sandbox.oci.manifest import chains
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


BOTTOM = "sha256:368c5debdd24b2330ab486a15a8f54e92330f1fd557a8f47e40fe04744ca12d3"
TOP = "sha256:c97ebb408ab847bd76da7630d918a94405c75f4bda4793decf24c5aae250c255"
EMPTY = (
    '"Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,'
    '"OpenStdin":false,"StdinOnce":false'
)
PATH = '"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]'
PARENT = '"Image":"sha256:272805f351508b85be979d8489d75d7cd440c3234de835c322ca03ee08b9ca20"'
REST = '"Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null'
LABELS = r'"Labels":{"x":"\u003c\u0026\u003eé"}'
BOTTOM_FOLDER = "48587451ce64f003e1eeb0ded0ea49389789846df59c04628a50c87f38f894c1"
BOTTOM_JSON = (
    f'{{"id":"{BOTTOM_FOLDER}","created":"1970-01-01T00:00:00Z","container_config":{{"Hostname":"",{EMPTY},"Env":null,'
    f'"Cmd":null,"Image":"",{REST},"Labels":null}},"os":"linux"}}'
)
TOP_FOLDER = "55c99e88abc8d5b2edf0a5434bdeba353c8ab396599b01ed00910199c5115265"
TOP_JSON = (
    f'{{"id":"{TOP_FOLDER}","parent":"{BOTTOM_FOLDER}","created":"2026-11-24T17:41:15.951652804Z",'
    '"container":"6f3b84852ca6f29adc57980128ab6e11ddbac5580fc0f82b3b0f748581d429de",'
    f'"container_config":{{"Hostname":"6f3b84852ca6",{EMPTY},{PATH},'
    rf'"Cmd":["/bin/sh","-c","#(nop) ","LABEL x=\u003c\u0026\u003eé"],{PARENT},{REST},{LABELS}}},'
    f'"docker_version":"20.10.24+dfsg1","config":{{"Hostname":"",{EMPTY},{PATH},"Cmd":null,{PARENT},{REST},{LABELS}}},'
    '"architecture":"amd64","os":"linux"}'
)
KNOWN = chains([("sha256:" + "0" * 64,), (BOTTOM, TOP), (BOTTOM, "sha256:" + "1" * 64)])


@pytest.mark.parametrize(
    ("folder", "text", "layer"), [(BOTTOM_FOLDER, BOTTOM_JSON, BOTTOM), (TOP_FOLDER, TOP_JSON, TOP)]
)
def test_v1_folder_is_matched_to_an_expected_layer(folder: str, text: str, layer: str) -> None:
    assert recognised(folder, text.encode(), KNOWN) == layer


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "{", "null", '{"id"', BOTTOM_JSON.replace("1970", "1971"), "\N{BULLET}"]
)
def test_folder_of_another_layer_is_not_matched(text: str) -> None:
    assert recognised(BOTTOM_FOLDER, text.encode(), KNOWN) is None
    assert recognised(BOTTOM_FOLDER, BOTTOM_JSON.encode(), chains([(TOP,)])) is None


class Received:
    """A receiver that keeps what it is given, by digest."""

    def __init__(self) -> None:
        self.layers: dict[str | None, bytes] = {}

    def buffered(self, data: bytes, digest: str | None) -> None:
        self.layers[digest] = data

    def named(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        self.layers[digest] = b"".join(chunks)

    def unnamed(self, size: int, chunks: Iterable[bytes]) -> None:
        raise AssertionError("every layer has its name")

    def wants_unknown(self) -> bool:
        return False


def test_podman_s_layers_have_their_digests_as_names() -> None:
    layer, config = b"a layer", b'{"rootfs": {}}'
    names = [hashlib.sha256(data).hexdigest() for data in (layer, config)]
    files = [(f"{names[0]}.tar", layer), (f"{names[1]}.json", config), ("manifest.json", b"[]"), ("repositories", b"")]
    receiver = Received()
    documents = take(cut(written(files, tarfile.PAX_FORMAT), 500), receiver, {})
    assert receiver.layers == {f"sha256:{names[0]}": layer}
    assert documents.by_digest[f"sha256:{names[1]}"] == config
