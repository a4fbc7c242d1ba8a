"""The proof that nodes of another user's cluster pull: asked for once, written down, and told of when it fails."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.components.cluster.existing.tenant import Place
from sandbox.components.registry import in_cluster_canary_step
from sandbox.components.registry.in_cluster_canary_step import PROOF, InnerCanaryStep
from sandbox.errors import SandboxError
from sandbox.images import canary_image
from sandbox.names import LABEL, Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork
from tests.support.registry_simulator import Simulator

SPACE = "/api/v1/namespaces/mine"
POD = f"{SPACE}/pods/sandbox-canary"
PULLED = {"terminated": {"reason": "StartError"}}
REFUSED = {"waiting": {"reason": "ErrImagePull", "message": "http: server gave HTTP response to HTTPS client"}}


@pytest.fixture
def step(server: ApiServer, names: Names, registry: Simulator) -> InnerCanaryStep:
    own = {"name": "sandbox-registry", "labels": {LABEL: "demo"}}
    service = {"kind": "Service", "metadata": own, "spec": {"ports": [{"nodePort": 30500}]}}
    server.objects[f"{SPACE}/services/sandbox-registry"] = service
    return InnerCanaryStep(Place(names, "mine"), registry.url)


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
    step: InnerCanaryStep, server: ApiServer, registry: Simulator
) -> None:
    pods = nodes(server, PULLED)
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert (step.check().state, step.check().detail) == (State.READY, "a node pulled from 127.0.0.1:30500")
    (pod,) = pods
    assert (
        pod["spec"]["containers"][0]["image"]
        == f"127.0.0.1:30500/{canary_image.REPOSITORY}@{canary_image.document().digest}"
    )
    assert pod["spec"]["imagePullSecrets"] == [{"name": "sandbox-pull"}]
    assert (canary_image.REPOSITORY, canary_image.document().digest) in registry.manifests
    assert POD not in server.objects, "the pod is gone"
    assert not step.undo()


def test_what_was_proved_for_another_registry_is_proved_again(step: InnerCanaryStep, server: ApiServer) -> None:
    nodes(server, PULLED)
    step.apply(NoWork())
    server.objects[f"{SPACE}/services/sandbox-registry"]["spec"]["ports"][0]["nodePort"] = 30600
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert step.check().detail == "a node pulled from 127.0.0.1:30600"


def test_the_pod_of_an_interrupted_one_is_replaced(step: InnerCanaryStep, server: ApiServer) -> None:
    pods = nodes(server, PULLED)
    server.objects[POD] = {"kind": "Pod", "metadata": {"name": "sandbox-canary", "labels": {LABEL: "demo"}}}
    step.apply(NoWork())
    assert len(pods) == 1 and POD not in server.objects


def test_refused_pull_is_an_error_with_message_and_alternatives(
    step: InnerCanaryStep, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_cluster_canary_step, "TIMEOUT", 0.2)
    nodes(server, REFUSED)
    with pytest.raises(SandboxError, match="cannot pull") as caught:
        step.apply(NoWork())
    assert "gave HTTP response to HTTPS client" in caught.value.details
    assert "external" in caught.value.fix and "NodePorts" in caught.value.fix
    assert POD not in server.objects and f"{SPACE}/configmaps/{PROOF}" not in server.objects
    assert step.check().state is State.ABSENT
