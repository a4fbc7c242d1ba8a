"""TLS Secrets of ours where another kept one before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.components.certificates import tls_secret
from sandbox.kube.api import Cluster
from tests.support.api_server import ApiServer, kubeconfig, serving

SECRET = "/api/v1/namespaces/shop/secrets/api"
CERTIFICATE = "/apis/cert-manager.io/v1/namespaces/shop/certificates/api"
OURS = tls_secret.manifest("shop", "api", chain_pem=b"chain", key_pem=b"key")


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serving() as server:
        yield server


@pytest.fixture
def cluster(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return Cluster(kubeconfig(tmp_path_factory.mktemp("cluster") / "kubeconfig", server.server_address[1]))


def test_a_cluster_that_never_heard_of_cert_manager_gets_it(server: ApiServer, cluster: Cluster) -> None:
    tls_secret.put(cluster, OURS)
    assert server.objects == {SECRET: OURS}


def test_what_cert_manager_kept_is_taken_over(server: ApiServer, cluster: Cluster) -> None:
    server.kinds["/apis/cert-manager.io/v1"] = {"Certificate": ("certificates", True)}
    server.objects[CERTIFICATE] = {"kind": "Certificate"}
    server.objects[SECRET] = {"kind": "Secret", "data": {"tls.crt": "", "tls.key": "", "ca.crt": ""}}
    tls_secret.put(cluster, OURS)
    assert server.objects == {SECRET: OURS}
    assert ("DELETE", SECRET) in [(method, path) for method, path, *_ in server.asked]


def test_one_of_ours_is_changed_in_place(server: ApiServer, cluster: Cluster) -> None:
    tls_secret.put(cluster, OURS)
    tls_secret.put(cluster, tls_secret.manifest("shop", "api", chain_pem=b"other", key_pem=b"key"))
    assert ("DELETE", SECRET) not in [(method, path) for method, path, *_ in server.asked]
    assert server.objects[SECRET]["data"]["tls.key"] == OURS["data"]["tls.key"]
