"""The proxy for pods, by what the API server holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.components.cluster import pod_proxy
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.cluster.node_proxy_env import Proxied
from sandbox.components.cluster.pod_proxy_step import PodProxyStep
from sandbox.components.network.proxy_settings import Proxies
from sandbox.names import Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.fakes import FakeEngine, NoWork

POLICY = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/sandbox-proxy"
KINDS = {
    "MutatingAdmissionPolicy": ("mutatingadmissionpolicies", False),
    "MutatingAdmissionPolicyBinding": ("mutatingadmissionpolicybindings", False),
}
SECRET = "http://user:secret@proxy.example.com:3128"  # nobody's


@pytest.fixture
def proxied(engine: FakeEngine, names: Names) -> Proxied:
    return Proxied(
        engine, kind_provider.nodes(engine, names), names, "demo.localhost", Proxies(https=SECRET, direct=(".corp",))
    )


@pytest.fixture
def step(names: Names, server: ApiServer, proxied: Proxied) -> PodProxyStep:
    server.kinds[f"/apis/{pod_proxy.API}"] = dict(KINDS)
    return PodProxyStep(names, proxied)


def without(step: PodProxyStep) -> PodProxyStep:
    return replace(step, proxied=replace(step.proxied, proxies=Proxies()))


def test_what_is_inside_is_reached_directly(proxied: Proxied, names: Names) -> None:
    spared = proxied.variables()["NO_PROXY"].split(",")
    assert {names.node, names.registry, "172.30.0.0/16", ".demo.localhost", ".corp"} <= set(spared)


def test_a_policy_comes_changes_and_goes_with_the_proxy(server: ApiServer, step: PodProxyStep) -> None:
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    ready = step.check()
    assert ready.state is State.READY and "proxy.example.com" in ready.detail and "secret" not in ready.detail
    other = replace(step, proxied=replace(step.proxied, proxies=Proxies(http="http://other:1")))
    assert other.check().state is State.DRIFTED
    assert without(step).check().state is State.DRIFTED
    without(step).apply(NoWork())
    assert POLICY not in server.objects
    assert (without(step).check().state, without(step).check().detail) == (State.READY, "none")
    assert not step.undo()


def test_a_kubernetes_that_has_no_such_policies_is_not_asked_for_one(server: ApiServer, step: PodProxyStep) -> None:
    del server.kinds[f"/apis/{pod_proxy.API}"]
    found = step.check()
    assert found.state is State.READY and "cannot tell pods" in found.detail
    assert without(step).check().state is State.READY
