"""Docker Engine 29 with either image store: images keep their bytes, read from its folders or saved."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.bundle import system_images
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.engine import Engine
from sandbox.images.images_yaml import FromBuild, FromDaemon
from sandbox.images.progress import Action
from sandbox.images.push import push
from sandbox.images.sources import image_build
from sandbox.images.sources.engine_container import ContainerFiles
from sandbox.images.sources.image_source import EngineAccess
from sandbox.oci.reference import parse_target
from tests.real.machine import leave_out, tool
from tests.real.registry.stand import Watched, reader, rebuilt, registry
from tests.support.bundled import store_with
from tests.support.images import TestImage, digest_of, index, layer, old_save, place, tar
from tests.support.odd_layers import SEEDS, odd_image

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
    monkeypatch.setenv("DOCKER_HOST", ADDRESS if "://" in ADDRESS else f"unix://{ADDRESS}")
    engine, node = Engine.connect(), recipes()["node"]  # whose image reads layers; it takes long to load
    if engine.image_id(node.reference) is None:
        engine.load(store_with("node").image(node))
    before = ids()
    yield Watched(engine)
    tool("docker", "image", "rm", "-f", *(ids() - before), status=None)


def ids() -> set[str]:
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


@pytest.fixture
def containerd(engine: Watched) -> None:
    """Only for containerd's store: the classic one keeps no manifests."""
    if "overlay2" in tool("docker", "info", "--format", "{{.Driver}}"):
        pytest.skip("for containerd's image store: scripts/engine29 start")


@pytest.fixture(params=["opened", "container"])
def way(request: pytest.FixtureRequest, engine: Watched, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the engine's folders are read: by this process, or as for a user who may not open them."""
    if request.param == "container":
        access = os.access
        # Programs are still found: shutil.which asks for other rights.
        monkeypatch.setattr(os, "access", lambda path, mode, **more: not mode & os.R_OK and access(path, mode, **more))
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, SEEDS))])
def test_odd_layers_are_rebuilt_as_they_came(engine: Watched, tmp_path: Path, seed: int) -> None:
    image, path = odd_image(seed, NAME), tmp_path / "load.tar"
    path.write_bytes(old_save({f"{NAME}:{seed}": image}))
    engine.engine.load(path)
    assert rebuilt(engine.engine, f"{NAME}:{seed}") == {digest_of(one): one for one in image.layers}


@pytest.mark.usefixtures("containerd", "way")
@pytest.mark.parametrize("reading", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_images_arrive_unchanged_and_present_ones_are_not_saved(
    engine: Watched, host: str, tmp_path: Path, compressed: bool, reading: bool
) -> None:
    url, read = f"http://{host}", reader()
    images = {f"{name}:1": TestImage((BASE, OWN), name, compressed) for name in ("app", "tool")}
    entries = load(engine, tmp_path, images)
    access = EngineAccess(reading=reading, container=partial(ContainerFiles, engine.engine))
    results = push(entries, url, engine, access=access)
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
    results = push(
        load(engine, tmp_path, changed),
        url,
        engine,
        access=access,
    )
    new = [changed["app:1"].blobs[1], *(image.config for image in changed.values())]
    assert sum(result.size for result in results) == sum(map(len, new))
    assert read(f"{host}/tool:1", tmp_path).digest == digest_of(changed["tool:1"].manifest)


def test_unchanged_files_make_the_same_image_again(engine: Watched, tmp_path: Path) -> None:
    buildx = system_images.buildx(Store(context.home().bundle))
    if buildx is None and not image_build.has_buildkit():
        leave_out("needs BuildKit: sandbox bundle build buildx")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    entry = FromBuild(parse_target(f"{NAME}:1"), tmp_path, folder=tmp_path)
    made = []
    for _ in range(2):
        image_build.build(entry, engine.engine, lambda _: None, buildx)
        made.append(engine.engine.image_id(entry.engine_name))
    assert made[0] == made[1]
    assert made[0]
