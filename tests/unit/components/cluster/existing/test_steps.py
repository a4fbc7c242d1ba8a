"""The place in another user's cluster and its system images: made once, known again, and left as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.components.cluster.existing.steps import OwnPushStep, TenancyStep
from sandbox.errors import SandboxError, UsageError
from sandbox.images.images_yaml import FromArchive
from sandbox.kube.api import ClusterError
from sandbox.names import LABEL, Home
from sandbox.oci.reference import parse_target as parse
from sandbox.step import State, Status
from tests.support.api_server import ApiServer, kubeconfig, serving
from tests.support.fakes import NoWork, applied
from tests.support.images import TestImage, digest_of, layer, new_save
from tests.support.registry_simulator import Fault, Simulator

SPACE = "/api/v1/namespaces/mine"
IMAGE = TestImage((layer(1),), label="traefik")


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serving() as server:
        yield server


@pytest.fixture
def step(place: Home, server: ApiServer) -> TenancyStep:
    kubeconfig(place.kubeconfig, server.server_port, context="team")
    return TenancyStep(
        names=place.sandbox("demo"), paths=(place.kubeconfig,), context="team", namespace="mine", owner="ann@laptop"
    )


def there(server: ApiServer, path: str, **labels: str) -> None:
    name = path.rpartition("/")[2]
    kind = "Namespace" if path == SPACE else "ConfigMap"
    server.objects[path] = {"kind": kind, "metadata": {"name": name, "labels": labels}}


def test_check_reports_unknown_context(step: TenancyStep) -> None:
    assert replace(step, context="tema").check() == Status(State.ABSENT, "there is no context 'tema'")


def test_cluster_that_is_not_reached_leaves_no_files(step: TenancyStep, server: ApiServer) -> None:
    with pytest.raises(UsageError):
        replace(step, context="tema").maker()
    server.shutdown()
    server.server_close()
    with pytest.raises(ClusterError):
        step.maker()
    assert not step.names.folder.exists()


def test_created_namespace_is_removed_again(step: TenancyStep, server: ApiServer) -> None:
    assert step.check().state is State.ABSENT
    assert step.maker() is None
    assert {method for method, *_ in server.asked} == {"GET"}
    assert applied(step).state is State.READY
    assert step.maker() == step.owner
    assert server.objects[SPACE]["metadata"]["labels"] == {LABEL: "demo"}
    assert step.names.kubeconfig.stat().st_mode & 0o077 == 0
    assert step.undo()
    assert server.objects == {}
    assert not step.names.folder.exists()


def test_earlier_namespace_stays_with_the_objects_of_others(step: TenancyStep, server: ApiServer) -> None:
    there(server, SPACE)
    there(server, f"{SPACE}/configmaps/theirs")
    before = dict(server.objects)
    step.apply(NoWork())
    there(server, f"{SPACE}/configmaps/ours", **{LABEL: "demo"})
    assert step.undo()
    assert server.objects == before


def test_namespace_of_another_sandbox_is_refused(step: TenancyStep, server: ApiServer, place: Home) -> None:
    step.apply(NoWork())
    other = replace(step, names=place.sandbox("other"))
    with pytest.raises(SandboxError, match="has the sandbox 'demo' in it"):
        other.apply(NoWork())
    assert step.check().state is State.READY


def test_namespace_of_another_person_asks_and_is_not_removed(step: TenancyStep, server: ApiServer) -> None:
    step.apply(NoWork())
    before = dict(server.objects)
    theirs = replace(step, owner="bob@desk")
    assert theirs.check().state is State.DRIFTED
    assert theirs.maker() == "ann@laptop"
    with pytest.raises(SandboxError, match=r"made by ann@laptop, not by bob@desk"):
        theirs.undo()
    assert server.objects == before
    theirs.apply(NoWork())  # agreed to
    assert theirs.check().state is State.READY
    assert theirs.undo()


def test_missing_right_to_create_namespaces_is_explained(step: TenancyStep, server: ApiServer) -> None:
    server.refusal = (403, b'{"message": "namespaces is forbidden"}')
    with pytest.raises(SandboxError, match="you may not make one") as caught:
        step.apply(NoWork())
    assert "a namespace that you may use" in caught.value.fix


def test_another_login_in_the_kubeconfig_is_taken_over(step: TenancyStep, server: ApiServer, place: Home) -> None:
    step.apply(NoWork())
    place.kubeconfig.write_text(place.kubeconfig.read_text().replace("secret", "newer"))
    assert step.check() == Status(State.DRIFTED, "your kubeconfig has another login for team, or another server")
    assert applied(step).state is State.READY
    assert "newer" in step.names.kubeconfig.read_text()
    place.kubeconfig.write_text("contexts: []")
    assert step.undo() and server.objects == {}, "also without the context"


@pytest.fixture
def push_step(registry: Simulator, tmp_path: Path) -> OwnPushStep:
    archive = tmp_path / "traefik.tar"
    archive.write_bytes(new_save({"traefik:1": IMAGE}))
    entries = (FromArchive(parse("sandbox/traefik:1"), archive), FromArchive(parse("sandbox/page:2"), archive))
    return OwnPushStep(entries, registry.url, None, ("registry",))


def test_system_images_are_pushed_once_and_read_back(push_step: OwnPushStep, registry: Simulator) -> None:
    assert push_step.check() == Status(State.ABSENT, "missing: sandbox/traefik:1, sandbox/page:2")
    assert applied(push_step).state is State.READY
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
