"""The step that installs the ingress controller, by what the cluster's API server holds afterwards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from sandbox.components.ingress.served_hosts import SERVED_BY
from sandbox.components.ingress.steps import IngressStep
from sandbox.components.ingress.traefik import Traefik
from sandbox.errors import SandboxError
from sandbox.kube.api import ClusterError, Manifest
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.step import State, Status
from tests.support.api_server import ApiServer
from tests.support.fakes import NETWORK, FakeEngine, NoWork, applied

CONFIG = "/api/v1/namespaces/s/configmaps/c"
POD = "/api/v1/namespaces/s/pods/p"
GROUND = "/api/v1/namespaces/s/configmaps/ground"
SYSTEM = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}"
KNOWN = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/applied-ingress"


def manifest(kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "s"}, **content}


@dataclass(frozen=True)
class Small:
    """A controller of two objects, whose pod is ready as soon as it is applied."""

    content: str = "x"
    promises: str = "little"
    trouble: SandboxError | None = None
    workload: str = "p"
    more: Sequence[Manifest] = ()

    def groundwork(self) -> Sequence[Manifest]:
        if self.trouble:
            raise self.trouble
        return [manifest("ConfigMap", "ground")]

    def manifests(self, *, trusted: str) -> Sequence[Manifest]:
        config = manifest("ConfigMap", "c", data={"content": self.content, "trusted": trusted})
        return [config, *self.more, manifest("Pod", self.workload, status={"phase": "Succeeded"})]


def as_traefik(controller: Small) -> Traefik:
    return cast("Traefik", controller)


@pytest.fixture
def step(engine: FakeEngine, names: Names, server: ApiServer) -> IngressStep:
    return IngressStep(engine=engine, network=NETWORK, names=names, controller=as_traefik(Small()))


def test_controller_is_absent_until_its_workload_exists(
    server: ApiServer, step: IngressStep, engine: FakeEngine
) -> None:
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert list(server.objects) == [SYSTEM, KNOWN, GROUND, CONFIG, POD], "the groundwork first, the workload last"
    assert (step.check().state, step.check().detail) == (State.READY, "little")
    network = engine.network(NETWORK)
    assert network is not None and server.objects[CONFIG]["data"]["trusted"] == network.subnet


@pytest.mark.parametrize("fault", ["gone", "changed", "not ready"])
def test_a_part_that_is_wrong_is_drift_and_repaired(server: ApiServer, step: IngressStep, fault: str) -> None:
    step.apply(NoWork())
    if fault == "gone":
        del server.objects[CONFIG]
    elif fault == "changed":
        step = replace(step, controller=as_traefik(Small("y")))
    else:
        server.objects[POD]["status"] = {"phase": "Pending"}
    assert step.check().state is State.DRIFTED
    assert applied(step).state is State.READY


def test_refusal_is_reported_at_once(server: ApiServer, step: IngressStep) -> None:
    with pytest.raises(SandboxError, match="no file"):
        replace(step, controller=as_traefik(Small(trouble=SandboxError("no file")))).apply(NoWork())
    assert server.objects == {}
    server.refusal = (422, b'{"message": "port is taken"}')
    with pytest.raises(ClusterError, match="port is taken"):
        step.apply(NoWork())


def test_objects_of_another_controller_are_removed_first(server: ApiServer, step: IngressStep) -> None:
    replace(step, controller=as_traefik(Small(workload="old"))).apply(NoWork())
    old = POD.removesuffix("p") + "old"
    assert step.check().state is State.ABSENT and old in server.objects
    assert applied(step).state is State.READY
    assert old not in server.objects and POD in server.objects


def test_without_a_controller_nothing_of_one_is_left(server: ApiServer, step: IngressStep) -> None:
    none = replace(step, controller=None)
    assert none.check().state is State.READY
    step.apply(NoWork())
    assert none.check() == Status(State.DRIFTED, "ConfigMap s/c, Pod s/p of an earlier spec")
    assert applied(none).state is State.READY
    assert list(server.objects) == [SYSTEM, KNOWN, GROUND]


@pytest.mark.security(20)
def test_planted_record_removes_nothing(server: ApiServer, step: IngressStep) -> None:
    """A pod writes the record of the controller → nothing is removed because of it."""
    step.apply(NoWork())
    victim = "/api/v1/namespaces/shop/configmaps/victim"
    server.objects[victim] = {"kind": "ConfigMap", "metadata": {"name": "victim", "namespace": "shop"}}
    record = server.objects[KNOWN]
    places = json.loads(record["data"]["objects"])
    record["data"]["objects"] = json.dumps([*places, ["v1", "ConfigMap", "shop", "victim"]])
    replace(step, controller=None).apply(NoWork())
    assert victim in server.objects


ALB_CLASS = {"kind": "IngressClass", "metadata": {"name": "alb"}, "spec": {"controller": SERVED_BY}}
CLASSED = Small(more=({"apiVersion": "networking.k8s.io/v1", **ALB_CLASS},))
ALB = "/apis/networking.k8s.io/v1/ingressclasses/alb"


def test_further_class_is_made_and_deleted_with_the_spec(server: ApiServer, step: IngressStep) -> None:
    classed = replace(step, controller=as_traefik(CLASSED))
    classed.apply(NoWork())
    assert server.objects[ALB]["spec"] == {"controller": "k8s.io/ingress-nginx"}
    assert classed.check().state is State.READY
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert ALB not in server.objects


def test_class_that_others_made_is_refused_and_stays(server: ApiServer, step: IngressStep) -> None:
    server.objects[ALB] = theirs = {"metadata": {"name": "alb"}, "spec": {"controller": "ingress.k8s.aws/alb"}}
    with pytest.raises(SandboxError, match="an IngressClass alb that `up` did not make") as caught:
        replace(step, controller=as_traefik(CLASSED)).apply(NoWork())
    assert "ingress.k8s.aws/alb" in caught.value.details
    step.apply(NoWork())
    assert server.objects[ALB] is theirs
