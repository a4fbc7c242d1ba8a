"""Hosts more than one label below the domain are added to its certificate."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.subject_names import domain_names
from sandbox.components.certificates.tls_secrets import TlsSecret
from sandbox.components.ingress import deep_hosts
from sandbox.components.ingress.deep_hosts import DeepHosts
from sandbox.kube.api import Cluster
from sandbox.names import DOMAIN_TLS, SYSTEM_NAMESPACE, Names
from tests.support.api_server import ApiServer

DOMAIN = "demo.localhost"
PLACE = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/{DOMAIN_TLS}"
ROUTES = "/apis/gateway.networking.k8s.io/v1"


def ingress(*hosts: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"rules": [{"host": host} for host in hosts], **spec}}


@pytest.fixture
def deep(names: Names) -> DeepHosts:
    keystore, now = Keystore(names.keys), datetime.now(UTC)
    keystore.authority([DOMAIN], now=now)
    keystore.leaf("domain", domain_names(DOMAIN), now=now)
    secret = TlsSecret(namespace=SYSTEM_NAMESPACE, secret=DOMAIN_TLS, leaf="domain", hosts=domain_names(DOMAIN))
    return DeepHosts(keystore=keystore, domain=DOMAIN, secret=secret, routes=True)


def test_deep_and_wildcard_hosts_are_added_once(deep: DeepHosts, names: Names, server: ApiServer) -> None:
    cluster = Cluster(names.kubeconfig)
    server.kinds[ROUTES] = {"HTTPRoute": ("httproutes", True)}
    server.objects[f"{ROUTES}/namespaces/shop/httproutes/api"] = {
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"hostnames": ["v1.api.demo.localhost"]},
    }
    own = ingress("own.deep.demo.localhost", tls=[{"hosts": ["own.deep.demo.localhost"], "secretName": "own"}])
    found = [ingress("web.demo.localhost", "*.wild.demo.localhost", "a.b.demo.localhost", "a.b.example.com"), own]
    added = ["*.wild.demo.localhost", "a.b.demo.localhost", "v1.api.demo.localhost"]
    assert deep.lacking(cluster, found) == added
    deep.add(cluster, found)
    served = describe(base64.b64decode(server.objects[PLACE]["data"]["tls.crt"]), now=datetime.now(UTC))
    assert set(served.hosts) == {*domain_names(DOMAIN), *added}
    assert deep.lacking(cluster, found) == []
    assert set(deep_hosts.certified(deep.keystore, "domain", DOMAIN)) == set(added)
    before = server.objects[PLACE]
    deep.add(cluster, [])
    assert server.objects[PLACE] is before
