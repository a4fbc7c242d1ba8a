"""Layers out of the engine's own folders: a save where its records are odd, an error where a file has other bytes."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.images.push import PushFailed, push
from sandbox.images.sources.image_source import EngineAccess
from sandbox.images.sources.tar_split import TarSplit
from sandbox.oci.manifest import Compression
from tests.support import harm_to_files
from tests.support.engine_folder import ContainerdEngine, ReadableEngine, files, notes
from tests.support.images import TestImage, digest_of, from_engine, layer, tar
from tests.support.registry_simulator import Simulator

BASE, OWN = layer(1, 30_000), layer(2, 20_000)
LARGE = tar({"folder/large": bytes(3_000_000) + b"end", "folder/small": b"x" * 700})
IMAGE = TestImage((BASE, LARGE, OWN), "app")


@pytest.fixture
def engine(tmp_path: Path) -> ReadableEngine:
    return ReadableEngine({"app:1": IMAGE}, folder=tmp_path / "docker")


def held(registry: Simulator) -> set[str]:
    """The digests of the blobs in the registry, each checked."""
    blobs = registry.content
    assert all(digest_of(data) == digest for digest, data in blobs.items())
    return set(blobs)


def test_only_the_layer_that_is_missing_is_read(registry: Simulator, tmp_path: Path, engine: ReadableEngine) -> None:
    push([from_engine("app:1")], registry.url, engine)
    registry.forget()
    new = layer(3, 5_000)
    changed = ReadableEngine({"app:1": TestImage((BASE, LARGE, new), "app")}, folder=tmp_path / "docker")
    for number in range(2):
        notes(changed.folder, IMAGE, number).joinpath("tar-split.json.gz").unlink()
    (result,) = push([from_engine("app:1")], registry.url, changed)
    assert (changed.saves, result.size) == ([], registry.received)
    assert registry.received == len(new) + len(changed.images["app:1"].config)


@pytest.mark.parametrize("compression", Compression)
def test_an_image_that_cannot_be_read_is_saved_alone(
    registry: Simulator, tmp_path: Path, compression: Compression
) -> None:
    images = {"app:1": IMAGE, "tool:1": TestImage((layer(8),), "tool")}
    engine = ReadableEngine(images, folder=tmp_path)
    notes(engine.folder, images["tool:1"], 0).joinpath("tar-split.json.gz").unlink()
    push([from_engine(name) for name in images], registry.url, engine, compression=compression)
    assert engine.saves == [("tool:1",)]


def with_headers(data: bytes) -> Callable[[Path], object]:
    return lambda folder: (notes(folder, IMAGE, 1) / "tar-split.json.gz").write_bytes(data)


def with_entry(text: str) -> Callable[[Path], object]:
    return with_headers(gzip.compress(text.encode() + b"\n"))


def other_configuration(folder: Path) -> None:
    (folder / "image/overlay2/imagedb/content" / digest_of(IMAGE.config).replace(":", "/")).write_bytes(b"{}")


@pytest.mark.parametrize(
    "harm",
    [
        other_configuration,
        with_headers(b"no gzip"),
        with_headers(gzip.compress(b"{}")[:-4]),
        with_entry('{"type":3}'),
        with_entry('{"type":1,"name":"folder/large","size":-1}'),
        with_entry('{"type":1,"name":"../../../etc/passwd","size":10}'),
        with_entry('{"type":1,"size":10}'),
        with_entry('{"type":2,"payload":"?"}'),
    ],
)
def test_harm_to_the_engines_records_means_a_save(
    registry: Simulator, engine: ReadableEngine, harm: Callable[[Path], object]
) -> None:
    harm(engine.folder)
    push([from_engine("app:1")], registry.url, engine)
    assert len(engine.saves) == 1
    assert held(registry) >= {digest_of(data) for data in (*IMAGE.layers, IMAGE.config)}


def fails_whole(registry: Simulator, engine: ReadableEngine | ContainerdEngine) -> None:
    """The image is not pushed, the error says what to do, and what was sent before is undamaged."""
    with pytest.raises(PushFailed) as caught:
        push([from_engine("app:1")], registry.url, engine)
    assert caught.value.fix
    assert not engine.saves and not registry.manifests and not registry.uploads
    held(registry)


@pytest.mark.parametrize("harm", harm_to_files.ALL)
def test_image_fails_when_a_file_was_damaged_before_it_is_read(
    registry: Simulator, engine: ReadableEngine, harm: Callable[[Path], None]
) -> None:
    harm(files(engine.folder, IMAGE, 1) / "folder/large")
    fails_whole(registry, engine)
    push([from_engine("app:1")], registry.url, engine, access=EngineAccess(reading=False))
    assert held(registry) >= {digest_of(data) for data in (*IMAGE.layers, IMAGE.config)}


def test_names_that_are_not_utf8_are_read() -> None:
    entry = {"type": 1, "name_raw": base64.b64encode(b"/d//\xfc\xdf").decode(), "size": 7, "payload": ""}
    split = TarSplit.of(gzip.compress(json.dumps(entry).encode()))
    assert (split.names, split.size) == ((b"d/\xfc\xdf",), 7)
    assert b"".join(split.tar(iter([b"con", b"tent"]))) == b"content"


@pytest.fixture
def containerd(tmp_path: Path) -> ContainerdEngine:
    image = TestImage((BASE, LARGE), "app", compressed=True)
    return ContainerdEngine({"app:1": image}, containerd=True, folder=tmp_path / "docker")


@pytest.mark.parametrize(
    ("part", "harm"), [("layer", Path.unlink), *(("manifest", harm) for harm in harm_to_files.WHOLE)]
)
def test_image_is_saved_when_containerd_lacks_a_layer_or_has_a_damaged_manifest(
    registry: Simulator, containerd: ContainerdEngine, part: str, harm: Callable[[Path], None]
) -> None:
    image = containerd.images["app:1"]
    harm(containerd.blob(digest_of(image.blobs[1] if part == "layer" else image.manifest)))
    (result,) = push([from_engine("app:1")], registry.url, containerd)
    assert (result.digest, len(containerd.saves)) == (digest_of(image.manifest), 1)
    assert held(registry) >= set(image.files)


@pytest.mark.parametrize("part", ["layer", "config"])
def test_blob_of_containerd_with_other_bytes_fails_the_image(
    registry: Simulator, containerd: ContainerdEngine, part: str
) -> None:
    image = containerd.images["app:1"]
    harm_to_files.changed(containerd.blob(digest_of(image.blobs[1] if part == "layer" else image.config)))
    fails_whole(registry, containerd)
