"""Hosts more than one label below the domain are added to its certificate."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.subject_names import domain_names
from sandbox.components.ingress import deep_hosts
from sandbox.kube.api import Cluster
from sandbox.names import DOMAIN_TLS, SYSTEM_NAMESPACE, Names
from tests.support.api_server import ApiServer

DOMAIN = "demo.localhost"
PLACE = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/{DOMAIN_TLS}"
ROUTES = "/apis/gateway.networking.k8s.io/v1"


def ingress(*hosts: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"rules": [{"host": host} for host in hosts], **spec}}


def test_deep_and_wildcard_hosts_are_added_once(names: Names, server: ApiServer) -> None:
    keystore, now, cluster = Keystore(names.keys), datetime.now(UTC), Cluster(names.kubeconfig)
    keystore.authority([DOMAIN], now=now)
    keystore.leaf("domain", domain_names(DOMAIN), now=now)
    server.kinds[ROUTES] = {"HTTPRoute": ("httproutes", True)}
    server.objects[f"{ROUTES}/namespaces/shop/httproutes/api"] = {
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"hostnames": ["v1.api.demo.localhost"]},
    }
    own = ingress("own.deep.demo.localhost", tls=[{"hosts": ["own.deep.demo.localhost"], "secretName": "own"}])
    found = [ingress("web.demo.localhost", "*.wild.demo.localhost", "a.b.demo.localhost", "a.b.example.com"), own]
    added = ["*.wild.demo.localhost", "a.b.demo.localhost", "v1.api.demo.localhost"]
    assert deep_hosts.lacking(cluster, found, keystore, DOMAIN) == added
    deep_hosts.add(cluster, found, keystore, DOMAIN)
    served = describe(base64.b64decode(server.objects[PLACE]["data"]["tls.crt"]), now=now)
    assert set(served.hosts) == {*domain_names(DOMAIN), *added}
    assert deep_hosts.lacking(cluster, found, keystore, DOMAIN) == []
    assert set(deep_hosts.certified(keystore, DOMAIN)) == set(added)
