"""Layers in a save's old folders are recognized, and its documents are kept.

The folders are those that Docker Engine 20.10 really wrote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pytest

from sandbox.images.sources.docker_save import recognised, take
from sandbox.oci.manifest import chains
from tests.support.images import tar

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
    files = {f"{names[0]}.tar": layer, f"{names[1]}.json": config, "manifest.json": b"[]", "repositories": b""}
    receiver = Received()
    documents = take(iter([tar(files)]), receiver, {})
    assert receiver.layers == {f"sha256:{names[0]}": layer}
    assert documents.by_digest[f"sha256:{names[1]}"] == config
