"""Images of the bundle, pushed to the registry in an existing cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.components.cluster.existing.steps import OwnPushStep
from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromArchive
from sandbox.oci.reference import parse_target as parse
from sandbox.step import State
from tests.support.fakes import NoWork
from tests.support.images import TestImage, digest_of, layer, new_save
from tests.support.registry_simulator import Fault, Simulator

IMAGE = TestImage((layer(1),), label="traefik")


@pytest.fixture
def push_step(registry: Simulator, tmp_path: Path) -> OwnPushStep:
    archive = tmp_path / "traefik.tar"
    archive.write_bytes(new_save({"traefik:1": IMAGE}))
    entries = (FromArchive(parse("sandbox/traefik:1"), archive), FromArchive(parse("sandbox/page:2"), archive))
    return OwnPushStep(entries, registry.url, None, ("registry",))


def test_system_images_are_pushed_once_and_read_back(push_step: OwnPushStep, registry: Simulator) -> None:
    assert (push_step.check().state, push_step.check().detail) == (
        State.ABSENT,
        "missing: sandbox/traefik:1, sandbox/page:2",
    )
    push_step.apply(NoWork())
    assert push_step.check().state is State.READY
    config = registry.manifest("sandbox/traefik", "1")["config"]["digest"]
    assert config == digest_of(IMAGE.config) and registry.content[config] == IMAGE.config
    registry.forget()
    push_step.apply(NoWork())
    assert registry.received == 0
    assert not push_step.undo()
    assert push_step.check().state is State.READY


def test_a_bundle_without_its_files_is_named(push_step: OwnPushStep) -> None:
    push_step.entries[0].path.unlink()
    with pytest.raises(SandboxError, match="the bundle is not complete") as caught:
        push_step.apply(NoWork())
    assert (caught.value.fix, caught.value.id) == ("sandbox bundle build", "no-bundle")


def test_refusing_registry_is_absent_to_check_error_to_apply(push_step: OwnPushStep, registry: Simulator) -> None:
    registry.faults.append(Fault("GET", "/v2/", 403, times=2))
    registry.faults.append(Fault("HEAD", "/v2/", 403, times=2))
    assert push_step.check().state is State.ABSENT
    with pytest.raises(SandboxError):
        push_step.apply(NoWork())
