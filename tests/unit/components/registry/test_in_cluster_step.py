"""The steps of a registry in an existing cluster: its pod, what proves that nodes pull from it, and system images."""

from __future__ import annotations

import base64
import json
from typing import Any
from unittest.mock import Mock

import pytest

from sandbox.components.cluster.existing.tenant import SandboxNamespace
from sandbox.components.registry import in_cluster_step
from sandbox.components.registry.in_cluster_step import InnerCanaryStep, InnerRegistryStep, name_on_nodes
from sandbox.errors import SandboxError
from sandbox.images import canary_image
from sandbox.names import LABEL, Names
from sandbox.step import State, Status
from tests.support.api_server import Admit, ApiServer, Refused
from tests.support.controllers import Controllers
from tests.support.fakes import NoWork, applied
from tests.support.registry_simulator import Simulator

SPACE = "/api/v1/namespaces/mine"
DEPLOYMENT = "/apis/apps/v1/namespaces/mine/deployments/sandbox-registry"
CLAIM = f"{SPACE}/persistentvolumeclaims/sandbox-registry"


@pytest.fixture
def server(server: ApiServer) -> ApiServer:
    server.objects = Controllers()
    server.admit = admitting("standard")
    return server


@pytest.fixture
def registry_step(server: ApiServer, names: Names) -> InnerRegistryStep:
    return InnerRegistryStep(SandboxNamespace(names, "mine"), "registry:1")


def test_image_that_nodes_lack_comes_with_what_to_do(
    registry_step: InnerRegistryStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_cluster_step, "wait_ready", Mock(side_effect=SandboxError("it cannot start")))
    with pytest.raises(SandboxError) as caught:
        registry_step.apply(NoWork())
    assert "images: {source: upstream}" in caught.value.fix and "external: HOST" in caught.value.fix


def admitting(storage_class: str | None) -> Admit:
    """What a cluster adds to objects: a port to Services, and to claims its default class; None lets no claim in."""

    def admit(manifest: dict[str, Any]) -> dict[str, Any]:
        if manifest["kind"] == "Service":
            manifest["spec"]["ports"][0]["nodePort"] = 30500
        if manifest["kind"] == "PersistentVolumeClaim":
            if storage_class is None:
                raise Refused(403, "exceeded quota")
            manifest["spec"] |= {"storageClassName": storage_class} if storage_class else {}
        return manifest

    return admit


def volume(server: ApiServer) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = server.objects[DEPLOYMENT]["spec"]["template"]["spec"]["volumes"]
    return next(one for one in volumes if one["name"] == "data")


def words(server: ApiServer) -> tuple[str, str]:
    """The password of the account, and the one that pods are given for the port on nodes."""
    password = base64.b64decode(server.objects[f"{SPACE}/secrets/sandbox-registry"]["data"]["password"]).decode()
    config = base64.b64decode(server.objects[f"{SPACE}/secrets/sandbox-pull"]["data"][".dockerconfigjson"])
    auth = json.loads(config)["auths"]["127.0.0.1:30500"]["auth"]
    return password, base64.b64decode(auth).decode().removeprefix("sandbox:")


def test_in_cluster_registry_has_a_disk_and_a_password_for_pods(
    registry_step: InnerRegistryStep, server: ApiServer
) -> None:
    assert registry_step.check().state is State.ABSENT
    assert applied(registry_step) == Status(State.READY, "127.0.0.1:30500 on nodes")
    assert name_on_nodes(registry_step.place) == "127.0.0.1:30500"
    password, given = words(server)
    assert password == given and len(password) > 20
    assert CLAIM in server.objects and "persistentVolumeClaim" in volume(server)
    assert {one["metadata"]["labels"][LABEL] for one in server.objects.values()} == {"demo"}
    server.objects[f"{SPACE}/secrets/sandbox-pull"]["data"] = {".dockerconfigjson": "e30="}
    assert (registry_step.check().state, "sandbox-pull" in registry_step.check().detail) == (State.DRIFTED, True)
    assert applied(registry_step).state is State.READY
    assert words(server) == (password, password)
    assert not registry_step.undo(), "it goes with its namespace's objects"


@pytest.mark.parametrize("storage_class", ["", None])
def test_without_a_disk_its_data_is_in_its_pod_and_that_is_said(
    registry_step: InnerRegistryStep, server: ApiServer, storage_class: str | None
) -> None:
    server.admit = admitting(storage_class)
    registry_step.apply(NoWork())
    assert CLAIM not in server.objects and "emptyDir" in volume(server)
    assert registry_step.check().state is State.READY
    assert "its data is gone with its pod" in registry_step.check().detail


def test_registry_of_another_user_is_refused_and_unchanged(registry_step: InnerRegistryStep, server: ApiServer) -> None:
    theirs = {"kind": "Service", "metadata": {"name": "sandbox-registry", "labels": {LABEL: "other"}}}
    server.objects[f"{SPACE}/services/sandbox-registry"] = dict(theirs)
    assert registry_step.check().state is State.ABSENT
    with pytest.raises(SandboxError, match="the sandbox 'other'"):
        registry_step.apply(NoWork())
    assert server.objects[f"{SPACE}/services/sandbox-registry"] == theirs
    with pytest.raises(SandboxError, match="there is no registry in mine"):
        name_on_nodes(registry_step.place)


POD = f"{SPACE}/pods/sandbox-canary"
IMAGE = f"127.0.0.1:30500/{canary_image.REPOSITORY}@{canary_image.document().digest}"


@pytest.fixture
def canary_step(server: ApiServer, names: Names, registry: Simulator) -> InnerCanaryStep:
    own = {"name": "sandbox-registry", "labels": {LABEL: "demo"}}
    service = {"kind": "Service", "metadata": own, "spec": {"ports": [{"nodePort": 30500}]}}
    server.objects[f"{SPACE}/services/sandbox-registry"] = service
    return InnerCanaryStep(SandboxNamespace(names, "mine"), registry.url)


def nodes(server: ApiServer, state: dict[str, Any]) -> list[dict[str, Any]]:
    """Let nodes come to `state` with every pod; the pods that there were."""
    seen: list[dict[str, Any]] = []

    def admit(manifest: dict[str, Any]) -> dict[str, Any]:
        if manifest["kind"] != "Pod":
            return manifest
        seen.append(manifest)
        return {**manifest, "status": {"containerStatuses": [{"name": "canary", "state": state}]}}

    server.admit = admit
    return seen


def test_a_node_pulls_it_by_digest_and_that_is_written_down(
    canary_step: InnerCanaryStep, server: ApiServer, registry: Simulator
) -> None:
    pods = nodes(server, {"terminated": {"reason": "StartError"}})
    assert canary_step.check().state is State.ABSENT
    # The pod of an earlier run that was interrupted.
    server.objects[POD] = {"kind": "Pod", "metadata": {"name": "sandbox-canary", "labels": {LABEL: "demo"}}}
    assert applied(canary_step) == Status(State.READY, "a node pulled from 127.0.0.1:30500")
    (pod,) = pods
    assert pod["spec"]["containers"][0]["image"] == IMAGE
    assert pod["spec"]["imagePullSecrets"] == [{"name": "sandbox-pull"}]
    assert (canary_image.REPOSITORY, canary_image.document().digest) in registry.manifests
    assert POD not in server.objects
    assert not canary_step.undo()
    server.objects[f"{SPACE}/services/sandbox-registry"]["spec"]["ports"][0]["nodePort"] = 30600
    assert canary_step.check().state is State.DRIFTED
    assert applied(canary_step).detail == "a node pulled from 127.0.0.1:30600"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"waiting": {"reason": "RunContainerError"}}, None),
        ({"waiting": {"reason": "ContainerCreating"}}, "ContainerCreating"),
        ({}, "0/1 nodes are available"),
    ],
)
def test_pod_tells_whether_its_image_was_pulled(state: dict[str, Any], reason: str | None) -> None:
    conditions = [{"message": "0/1 nodes are available"}]
    statuses = [{"name": "canary", "state": state}]
    assert in_cluster_step.unpulled({"status": {"containerStatuses": statuses, "conditions": conditions}}) == reason


def test_refused_pull_is_an_error_with_message_and_alternatives(
    canary_step: InnerCanaryStep, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_cluster_step, "PULL_TIMEOUT", 0.2)
    nodes(server, {"waiting": {"reason": "ErrImagePull", "message": "server gave HTTP response to HTTPS client"}})
    with pytest.raises(SandboxError, match="cannot pull") as caught:
        canary_step.apply(NoWork())
    assert "gave HTTP response to HTTPS client" in caught.value.details
    assert "external" in caught.value.fix and "NodePorts" in caught.value.fix
    assert POD not in server.objects and f"{SPACE}/configmaps/{in_cluster_step.PROOF}" not in server.objects
    assert canary_step.check().state is State.ABSENT
