"""Images of this machine's own Docker Engine, pushed into real registries and read back by another client."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.images.images_yaml import Entry, FromArchive, FromBuild, FromDaemon
from sandbox.images.progress import Action
from sandbox.images.push import push
from sandbox.oci.reference import parse_target
from tests.real import machine
from tests.real.machine import tool
from tests.real.registry.stand import Watched, reader, registry, require_classic_store

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
NAME = f"sandbox-test-{os.getpid()}"
LARGE = 9_000_000


def build(folder: Path, name: str, base: str, content: bytes) -> str:
    """Build an image with one layer on top of `base`; gives its name in the engine."""
    context = folder / "context"
    context.mkdir(exist_ok=True)
    (context / "file").write_bytes(content)
    (context / "Dockerfile").write_text(f"FROM {base}\nCOPY file /{name}\nLABEL name='<{name}>'\n")
    tool("docker", "build", "-q", "-t", f"{NAME}/{name}:1", context, env={"DOCKER_BUILDKIT": "0"})
    return f"{NAME}/{name}:1"


@pytest.fixture(scope="module")
def engine() -> Watched:
    require_classic_store()
    return Watched(machine.engine())


@pytest.fixture(scope="module")
def images(engine: Watched, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """Three images on one base of two layers; large layers and small ones."""
    folder = tmp_path_factory.mktemp("images")
    names: list[str] = []
    try:
        names.append(build(folder, "bottom", "scratch", os.urandom(LARGE)))
        names.append(build(folder, "base", names[0], b"base"))
        names += [build(folder, f"app-{n}", names[1], os.urandom(size)) for n, size in enumerate((LARGE, 70_000))]
        yield tuple(names)
    finally:
        tool("docker", "image", "rm", "-f", *names)


@pytest.fixture(params=["docker-registry", "distribution"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with registry(request.param, tmp_path) as address:
        yield address


def assert_true(engine: Watched, name: str, host: str, target: str, digest: str, folder: Path) -> None:
    found, told = reader()(f"{host}/{target}", folder), engine.inspect_image(name)
    assert told is not None
    assert found.digest == digest
    assert f"sha256:{hashlib.sha256(found.config).hexdigest()}" == told["Id"]
    assert list(found.layers) == told["RootFS"]["Layers"]


def test_image_read_by_another_client_matches_the_engines(
    engine: Watched, images: tuple[str, ...], host: str, tmp_path: Path
) -> None:
    entries = [FromDaemon(parse_target(f"team/{n}:dev"), name) for n, name in enumerate(images)]
    results = push(entries, f"http://{host}", engine)
    unique = {layer for name in images for layer in (engine.inspect_image(name) or {})["RootFS"]["Layers"]}
    assert len(unique) == 4
    assert sum(result.size for result in results) < 2 * LARGE + 200_000
    for entry, result in zip(entries, results, strict=True):
        assert_true(engine, entry.image, host, str(entry.target), result.digest, tmp_path)
    engine.saves.clear()
    assert {result.action for result in push(entries, f"http://{host}", engine)} == {Action.SKIPPED}
    assert engine.saves == []


def test_only_the_changed_layer_is_sent(engine: Watched, images: tuple[str, ...], host: str, tmp_path: Path) -> None:
    entry = FromDaemon(parse_target("app:dev"), images[2])
    push([entry], f"http://{host}", engine)
    changed = build(tmp_path, "changed", images[1], b"other" * 1000)
    try:
        (result,) = push([FromDaemon(entry.target, changed)], f"http://{host}", engine)
        assert 5000 < result.size < 20_000
        assert_true(engine, changed, host, "app:dev", result.digest, tmp_path)
    finally:
        tool("docker", "image", "rm", "-f", changed)


def test_an_archive_and_a_build_give_what_the_engine_gives(
    engine: Watched, images: tuple[str, ...], host: str, tmp_path: Path
) -> None:
    with (tmp_path / "saved.tar").open("wb") as file:
        subprocess.run(["docker", "save", *images], stdout=file, check=True)
    assert tarfile.is_tarfile(tmp_path / "saved.tar")
    context = tmp_path / "build"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {images[3]}\nLABEL built=here\n")
    build = FromBuild(parse_target(f"{NAME}/built:1"), context)
    entries: list[Entry] = [
        FromArchive(parse_target("app:archive"), tmp_path / "saved.tar", images[3]),
        FromDaemon(parse_target("app:engine"), images[3]),
        build,
    ]
    try:
        archived, direct, built = push(entries, f"http://{host}", engine)
        assert archived.digest == direct.digest
        assert_true(engine, images[3], host, "app:archive", archived.digest, tmp_path)
        assert_true(engine, build.engine_name, host, f"{NAME}/built:1", built.digest, tmp_path)
    finally:
        tool("docker", "image", "rm", "-f", build.engine_name, status=None)
