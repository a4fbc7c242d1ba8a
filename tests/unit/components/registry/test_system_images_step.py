"""Images of the bundle in the registry of an existing cluster: only those that are missing, from their archives."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.components.registry.system_images_step import OwnPushStep
from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromArchive
from sandbox.images.target import parse
from sandbox.step import State
from tests.support.fakes import NoWork
from tests.support.images import TestImage, digest_of, layer, new_save
from tests.support.registry_simulator import Fault, Simulator

IMAGE = TestImage((layer(1),), label="traefik")


@pytest.fixture
def step(registry: Simulator, tmp_path: Path) -> OwnPushStep:
    archive = tmp_path / "traefik.tar"
    archive.write_bytes(new_save({"traefik:1": IMAGE}))
    entries = (FromArchive(parse("sandbox/traefik:1"), archive), FromArchive(parse("sandbox/page:2"), archive))
    return OwnPushStep(entries, registry.url, None, ("registry",))


def test_they_are_pushed_once_and_read_back(step: OwnPushStep, registry: Simulator) -> None:
    assert (step.check().state, step.check().detail) == (State.ABSENT, "missing: sandbox/traefik:1, sandbox/page:2")
    step.apply(NoWork())
    assert step.check().state is State.READY
    config = registry.manifest("sandbox/traefik", "1")["config"]["digest"]
    assert config == digest_of(IMAGE.config) and registry.content[config] == IMAGE.config
    registry.forget()
    step.apply(NoWork())
    assert registry.received == 0
    assert not step.undo()
    assert step.check().state is State.READY


def test_only_what_is_not_there_is_named(step: OwnPushStep, registry: Simulator) -> None:
    step.apply(NoWork())
    del registry.manifests["sandbox/page", "2"]
    assert step.check().detail == "missing: sandbox/page:2"


def test_refusing_registry_is_absent_to_check_error_to_apply(step: OwnPushStep, registry: Simulator) -> None:
    registry.faults.append(Fault("GET", "/v2/", 403, times=2))
    registry.faults.append(Fault("HEAD", "/v2/", 403, times=2))
    assert step.check().state is State.ABSENT
    with pytest.raises(SandboxError):
        step.apply(NoWork())
