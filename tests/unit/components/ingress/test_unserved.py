"""Ingresses that the controller would leave out: for a class of another controller, for a Secret that is not there."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.components.addons.addon_objects import Place
from sandbox.components.certificates.pem import describe
from sandbox.components.ingress.unserved import require_classes, stand_in
from sandbox.components.workloads.applying import attempt_changed
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Names
from tests.support.api_server import ApiServer, Refused

NETWORKING = "/apis/networking.k8s.io/v1"
PLACE = "/api/v1/namespaces/shop/secrets/shop-tls"


def ingress(host: str = "shop.demo.localhost", *, called: str = "shop-tls", **spec: Any) -> dict[str, Any]:
    rules = [{"host": host}]
    metadata = {"name": "web", "namespace": "shop"}
    return {"metadata": metadata, "spec": {"rules": rules, "tls": [{"hosts": [host], "secretName": called}], **spec}}


@pytest.fixture
def cluster(names: Names, server: ApiServer) -> Cluster:
    server.kinds[NETWORKING] = {"IngressClass": ("ingressclasses", False)}
    server.objects[f"{NETWORKING}/ingressclasses/nginx"] = {"kind": "IngressClass", "metadata": {"name": "nginx"}}
    return Cluster(names.kubeconfig)


def test_class_of_another_controller_is_named_with_a_fix(cluster: Cluster) -> None:
    old = {**ingress(), "metadata": {"name": "web", "annotations": {"kubernetes.io/ingress.class": "gce"}}}
    for one, found in ((ingress(ingressClassName="alb"), "alb"), (old, "gce")):
        with pytest.raises(SandboxError, match=f"has the class '{found}', which no controller here serves") as caught:
            require_classes(cluster, [ingress(ingressClassName="nginx"), ingress(), one], "demo.localhost")
        assert "write `ingressClassName: nginx`" in caught.value.fix
        require_classes(cluster, [one], "other.localhost")  # what is not of the domain is not waited for


def test_a_secret_that_is_not_there_gets_a_stand_in_for_no_host(cluster: Cluster, server: ApiServer) -> None:
    said: list[str] = []
    for _ in range(2):
        stand_in(cluster, [ingress(), ingress("shop.example.com", called="other")], "demo.localhost", said.append)
    assert [path for path in server.objects if "/secrets/" in path] == [PLACE]
    assert len(said) == 1 and "shop/shop-tls is not there" in said[0]
    held = server.objects[PLACE]
    assert held["type"] == "kubernetes.io/tls"
    certificate = describe(base64.b64decode(held["data"]["tls.crt"]), now=datetime.now(UTC))
    assert "shop.demo.localhost" not in certificate.hosts


def test_a_secret_that_is_there_stays(cluster: Cluster, server: ApiServer) -> None:
    server.objects[PLACE] = theirs = {"kind": "Secret", "metadata": {"name": "shop-tls"}, "data": {"tls.crt": "x"}}
    stand_in(cluster, [ingress()], "demo.localhost", print)
    assert server.objects[PLACE] is theirs


def test_user_secret_replaces_the_stand_in(cluster: Cluster, server: ApiServer) -> None:
    stand_in(cluster, [ingress()], "demo.localhost", lambda _: None)
    metadata = {"name": "shop-tls", "namespace": "shop"}
    own = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": {}}

    def admit(manifest: dict[str, Any]) -> dict[str, Any]:
        if PLACE in server.objects:
            raise Refused(422, 'Secret "shop-tls" is invalid: type: Invalid value: "Opaque": field is immutable')
        return manifest

    server.admit = admit
    attempt_changed(cluster, own, ours=list[Place](), context="c", say=lambda _: None, recreated=[])
    assert server.objects[PLACE]["type"] == "Opaque"
