"""The page that ingress-nginx's default backend serves, rewritten by `up` from the Ingresses there are."""

from __future__ import annotations

import pytest

from sandbox.components.ingress.default_backend_step import PageStep
from sandbox.kube.readiness import SEEN
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork

PAGE = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/default-backend"
POD = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/default-backend-1"
INGRESS = "/apis/networking.k8s.io/v1/ingresses/a"


@pytest.fixture
def step(names: Names, server: ApiServer) -> PageStep:
    server.kinds["/apis/networking.k8s.io/v1"] = {"Ingress": ("ingresses", True)}
    server.objects[INGRESS] = {"metadata": {"name": "a"}, "spec": {"rules": [{"host": "a.test"}]}}
    return PageStep(names, 8443, needs=("ingress",))


def test_it_lists_the_hosts_of_the_ingresses(server: ApiServer, step: PageStep) -> None:
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert "https://a.test:8443/" in server.objects[PAGE]["data"]["404.html"]
    assert step.check().state is State.READY
    server.objects[INGRESS]["spec"]["rules"].append({"host": "b.test"})
    assert step.check().state is State.DRIFTED


def test_the_kubelet_is_made_to_look_at_once(server: ApiServer, step: PageStep) -> None:
    server.objects[POD] = {"metadata": {"name": "default-backend-1", "namespace": SYSTEM_NAMESPACE}}
    step.apply(NoWork())
    before = server.objects[POD]["metadata"]["annotations"][SEEN]
    server.objects[INGRESS]["spec"]["rules"] = []
    step.apply(NoWork())
    assert server.objects[POD]["metadata"]["annotations"][SEEN] != before


def test_it_goes_with_the_cluster(step: PageStep) -> None:
    assert not step.undo()
