"""The node image of this machine: made once of the published ones, which pods then find in every node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.bundle import machine_node
from sandbox.bundle.images_step import ImagesStep
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import IN_PODS, UPSTREAM, OwnImages, prepared
from sandbox.engine import ContainerSpec
from sandbox.errors import SandboxError
from sandbox.step import State
from tests.support.fakes import FakeContainer, FakeEngine, NoWork, applied

OWN = prepared(OwnImages("upstream", UPSTREAM))
NODE = OWN.references["node"]


class Committing(FakeEngine):
    """An engine that runs a container to its end and makes an image of it."""

    status = 0

    def __init__(self) -> None:
        super().__init__()
        self.upstream = set(UPSTREAM.values())
        self.archives: list[str] = []

    def make(self, name: str, config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
        self._image(config["Image"], "making")
        spec = ContainerSpec(name=name, image="", command=(), network="none", labels=config["Labels"])
        self.add(FakeContainer(spec, config["Image"], running=False, read_only=False))

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        assert all(self.image_id(name) for name in names)
        yield b"archive of " + names[0].encode()

    def wait(self, name: str) -> int:
        box = self.boxes[name]
        self.archives = sorted(path.name for path in box.files if path.suffix == ".tar")
        box.log = "containerd: no such file\n"
        return self.status

    def commit(self, container: str, name: str, config: Mapping[str, Any]) -> None:
        assert container in self.boxes and machine_node.LABEL in config["Labels"]
        self.images[name] = f"sha256:{name}"


@pytest.fixture
def engine() -> Committing:
    return Committing()


@pytest.fixture
def step(engine: Committing, tmp_path: Path) -> ImagesStep:
    return ImagesStep(engine=engine, own=OWN, store=Store(tmp_path))


def test_node_image_is_made_once_with_the_images_of_pods(engine: Committing, step: ImagesStep) -> None:
    assert step.check().state is State.ABSENT
    assert applied(step).state is State.READY
    assert engine.archives == [f"{name}.tar" for name in sorted(IN_PODS)] and not engine.boxes
    assert all(engine.image_id(OWN.references[name]) == engine.image_id(UPSTREAM[name]) for name in IN_PODS)
    engine.upstream.clear()
    engine.archives = []
    step.apply(NoWork())
    assert engine.archives == []


def test_node_that_cannot_be_prepared_is_an_error_with_its_words(engine: Committing, step: ImagesStep) -> None:
    engine.status = 3
    with pytest.raises(SandboxError, match="cannot be prepared") as caught:
        step.apply(NoWork())
    assert (caught.value.id, caught.value.fix[:20]) == ("no-images", "sandbox bundle build")
    assert "no such file" in caught.value.details
    assert engine.image_id(NODE) is None and not engine.boxes


def test_pulled_images_get_names_of_this_machine(engine: Committing, step: ImagesStep) -> None:
    reference = f"quay.io/jetstack/app:v1@sha256:{'cd' * 32}"
    step = replace(step, pulled={"app": reference})
    engine.upstream.add(reference)
    assert "app" in step.check().detail
    assert applied(step).state is State.READY
    assert engine.image_id("sandbox.dev/app:v1-cdcdcdcdcdcd") == engine.image_id(reference)
