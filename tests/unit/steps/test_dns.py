"""CoreDNS suited to a sandbox, by what its API server holds."""

from __future__ import annotations

import pytest

from sandbox.cluster import dns
from sandbox.names import INGRESS_SERVICE, Names
from sandbox.steps.dns import DnsStep
from sandbox.steps.step import State
from tests.api_server import ApiServer
from tests.controllers import Controllers
from tests.fakes import NoWork

DEPLOYMENT = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
COREFILE = "/api/v1/namespaces/kube-system/configmaps/coredns"


@pytest.fixture
def step(names: Names, server: ApiServer) -> DnsStep:
    server.objects = Controllers()
    server.objects[DEPLOYMENT] = {
        "kind": "Deployment",
        "metadata": {"name": "coredns"},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"k8s-app": "kube-dns"}}}},
    }
    return DnsStep(names, "demo.localhost", INGRESS_SERVICE)


def test_what_kubeadm_made_is_changed_once(server: ApiServer, step: DnsStep) -> None:
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert (step.check().state, step.check().detail) == (State.READY, "*.demo.localhost inside too")
    assert server.objects[DEPLOYMENT]["spec"]["replicas"] == 1
    assert INGRESS_SERVICE in server.objects[COREFILE]["data"]["Corefile"]
    assert not step.undo()


def test_another_configuration_is_put_right(server: ApiServer, step: DnsStep) -> None:
    step.apply(NoWork())
    before = server.objects[COREFILE]
    server.objects[COREFILE] = dns.config_map(".:53 {\n}\n")
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert server.objects[COREFILE] == before


def test_a_pod_that_has_read_another_is_restarted(server: ApiServer, step: DnsStep) -> None:
    step.apply(NoWork())
    mark = server.objects[DEPLOYMENT]["spec"]["template"]["metadata"]["annotations"]
    server.objects[DEPLOYMENT]["spec"]["template"]["metadata"]["annotations"] = {dns.MARK: "old"}
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert server.objects[DEPLOYMENT]["spec"]["template"]["metadata"]["annotations"] == mark


def test_without_an_ingress_names_are_left_alone(names: Names, server: ApiServer, step: DnsStep) -> None:
    bare = DnsStep(names, "demo.localhost", None)
    bare.apply(NoWork())
    assert (bare.check().state, bare.check().detail) == (State.READY, "")
    assert "rewrite" not in server.objects[COREFILE]["data"]["Corefile"]
    assert step.check().state is State.DRIFTED
