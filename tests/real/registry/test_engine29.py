"""Docker Engine 29 with its containerd image store: images keep their bytes, read from its folders or saved."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.engine import Engine
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.progress import Action
from sandbox.images.push import push
from sandbox.oci.reference import parse_target
from tests.real.machine import tool
from tests.real.registry.stand import Watched, reader, registry
from tests.support.images import TestImage, digest_of, index, layer, place, tar

ADDRESS = os.environ.get("SANDBOX_TEST_ENGINE29", "")
pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not ADDRESS, reason="needs SANDBOX_TEST_ENGINE29=$(scripts/engine29)"),
]
NAME = f"sandbox-test-{os.getpid()}"
BASE, OWN, NEW = layer(1, 9_000_000), layer(2, 50_000), layer(3, 60_000)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """The engine of that address, without our images afterwards."""
    monkeypatch.setenv("DOCKER_HOST", ADDRESS if "://" in ADDRESS else f"unix://{ADDRESS}")
    before = ids()
    yield Watched(Engine.connect())
    tool("docker", "image", "rm", "-f", *(ids() - before), status=None)


def ids() -> set[str]:
    """All images of the engine, those too whose names went to changed ones."""
    return set(tool("docker", "image", "ls", "--quiet", "--no-trunc").split())


@pytest.fixture(params=["docker-registry", "distribution"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with registry(request.param, tmp_path) as address:
        yield address


def load(engine: Watched, folder: Path, images: dict[str, TestImage]) -> list[FromDaemon]:
    """Have the images in the engine under our name, and give the entries that push them."""
    named = "io.containerd.image.name"
    top = [one.descriptor(annotations={named: f"docker.io/{NAME}/{name}"}) for name, one in images.items()]
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": index(*top)}
    files |= {place(digest): data for image in images.values() for digest, data in image.files.items()}
    path = folder / "load.tar"
    path.write_bytes(tar(files))
    engine.engine.load(path)
    return [FromDaemon(parse_target(name), f"{NAME}/{name}") for name in images]


@pytest.mark.parametrize("reading", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_images_arrive_unchanged_and_present_ones_are_not_saved(
    engine: Watched, host: str, tmp_path: Path, compressed: bool, reading: bool
) -> None:
    url, read = f"http://{host}", reader()
    images = {f"{name}:1": TestImage((BASE, OWN), name, compressed) for name in ("app", "tool")}
    entries = load(engine, tmp_path, images)
    results = push(entries, url, engine, reading=reading)
    for (name, image), result in zip(images.items(), results, strict=True):
        found = read(f"{host}/{name}", tmp_path)
        assert found.digest == result.digest == digest_of(image.manifest)
        assert found.config == image.config
        assert list(found.layers) == [digest_of(blob) for blob in image.blobs]
    sizes = {digest_of(blob): len(blob) for image in images.values() for blob in (*image.blobs, image.config)}
    assert sum(result.size for result in results) == sum(sizes.values())
    assert len(engine.saves) == (0 if reading else 1)
    assert {result.action for result in push(entries, url, engine)} == {Action.SKIPPED}
    (again,) = push([FromDaemon(parse_target("app:2"), entries[0].image)], url, engine)
    assert (again.action, again.size) == (Action.MOUNTED, 0)
    assert len(engine.saves) == (0 if reading else 1)
    changed = {name: TestImage((BASE, NEW), name, compressed) for name in images}
    results = push(load(engine, tmp_path, changed), url, engine, reading=reading)
    new = [changed["app:1"].blobs[1], *(image.config for image in changed.values())]
    assert sum(result.size for result in results) == sum(map(len, new))
    assert read(f"{host}/tool:1", tmp_path).digest == digest_of(changed["tool:1"].manifest)
