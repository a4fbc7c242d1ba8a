"""What unit tests of pushes believe of an engine's images holds for their engine and for the real one."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sandbox.engine import Engine
from tests.real import machine
from tests.support.images import FakeEngine, TestImage, digest_of, layer, old_save

REPOSITORY = "contract.sandbox.invalid"
BASE = layer(1, 5_000)
IMAGES = {
    f"{REPOSITORY}/app:1": TestImage((BASE, layer(2)), "app"),
    f"{REPOSITORY}/tool:1": TestImage((BASE, layer(3), BASE), "tool"),
}


@pytest.fixture(params=["old", "new", pytest.param("docker", marks=pytest.mark.real)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param != "docker":
        yield FakeEngine(IMAGES, old=request.param == "old")
        return
    engine = machine.engine()
    (tmp_path / "images.tar").write_bytes(old_save(IMAGES))
    engine.load(tmp_path / "images.tar")
    yield engine
    for name in IMAGES:
        engine.remove_image(name)


def layers(engine: Engine, names: Sequence[str]) -> dict[str, list[str]]:
    """The digests of an image's layers, in their order, as a save of several images has them."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(engine.save(names)))) as saved:

        def read(path: str) -> bytes:
            file = saved.extractfile(path)
            assert file is not None
            return file.read()

        found = {}
        for entry in json.loads(read("manifest.json")):
            (name,) = entry["RepoTags"]
            assert digest_of(read(entry["Config"])) == digest_of(IMAGES[name].config)
            found[name] = [digest_of(read(path)) for path in entry["Layers"]]
        return found


def test_image_is_described_by_its_layers(engine: Engine) -> None:
    for name, image in IMAGES.items():
        found = engine.inspect_image(name)
        assert found is not None and found["RootFS"]["Layers"] == [digest_of(one) for one in image.layers]
        assert found["Id"] in {digest_of(image.config), digest_of(image.manifest)}
    assert engine.inspect_image(f"{REPOSITORY}/none:1") is None


def test_images_are_saved_with_all_layers(engine: Engine) -> None:
    assert layers(engine, list(IMAGES)) == {
        name: [digest_of(one) for one in image.layers] for name, image in IMAGES.items()
    }
    (name, *_) = IMAGES
    assert list(layers(engine, [name])) == [name]
