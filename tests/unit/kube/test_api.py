"""The Kubernetes API by a small server that keeps objects and remembers how it was asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.errors import Away
from sandbox.kube.api import Cluster, ClusterError
from tests.support.api_server import ApiServer, kubeconfig
from tests.support.ports import free_port

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns"}, "data": {"k": "é"}}


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    # A proxy of the environment must play no part.
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    return Cluster(kubeconfig(tmp_path / "config", server.server_address[1]))


def test_objects_are_applied_by_the_server_in_our_name(cluster: Cluster, server: ApiServer) -> None:
    cluster.apply(CONFIG_MAP)
    path, query = "/api/v1/namespaces/ns/configmaps/a", {"fieldManager": ["sandbox"], "force": ["true"]}
    assert server.asked[-1] == ("PATCH", path, "application/apply-patch+yaml", query)


@pytest.mark.parametrize(
    ("status", "body", "passes"),
    [
        (504, b"", True),
        (500, b'{"message": "etcdserver: leader changed"}', True),
        (500, b'{"message": "Internal error occurred: failed calling webhook"}', False),
        (422, b"plain words", False),
    ],
)
def test_refusal_has_the_servers_message_and_may_pass(
    cluster: Cluster, server: ApiServer, status: int, body: bytes, passes: bool
) -> None:
    server.refusal = (status, body)
    with pytest.raises(ClusterError, match="applying ConfigMap ns/a failed") as caught:
        cluster.apply(CONFIG_MAP)
    assert isinstance(caught.value, Away) is passes and caught.value.status == status
    assert (caught.value.details in body.decode()) and bool(caught.value.details) is bool(body)


@pytest.mark.parametrize(
    ("part", "odd"), [("127.0.0.1:1", "127.0.0.1:none"), ("127.0.0.1:1", "127.0.0.1:99999"), ("secret", '"a\\n"')]
)
def test_request_that_cannot_be_sent_is_one_kind_of_error(tmp_path: Path, part: str, odd: str) -> None:
    path = kubeconfig(tmp_path / "config", 1)
    path.write_text(path.read_text().replace(part, odd))
    with pytest.raises(ClusterError, match="does not answer"):
        Cluster(path).get("v1", "ConfigMap", "a", "ns")
    with pytest.raises(Away):
        Cluster(kubeconfig(path, free_port())).apply(CONFIG_MAP)


@pytest.mark.parametrize("page", [b"<html>sign in</html>", b"[]", b"", b"[" * 100_000])
def test_answer_of_another_program_is_one_kind_of_error(cluster: Cluster, server: ApiServer, page: bytes) -> None:
    server.objects["/api/v1"] = page
    server.kinds.clear()
    with pytest.raises(ClusterError, match="is not an API server"):
        cluster.get("v1", "ConfigMap", "a", "ns")
    with pytest.raises(ClusterError, match="is not an API server"):
        cluster.list("v1", "ConfigMap", "ns")


@pytest.mark.parametrize("content", [None, b"clusters: [", b"[]", b"{clusters: 5}", b"\xff\xfe"])
def test_a_kubeconfig_that_cannot_be_used_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "config").write_bytes(content)
    with pytest.raises(ClusterError, match="no usable kubeconfig"):
        Cluster(tmp_path / "config")


@pytest.mark.security(20)
@pytest.mark.parametrize("name", ["..", ".", "", "a/../b", "%2e%2e"])
def test_a_name_that_leaves_its_path_is_refused(cluster: Cluster, server: ApiServer, name: str) -> None:
    """A record names an object `..` → no request for another path is made."""
    before = len(server.asked)
    calls: tuple[Callable[[], object], ...] = (
        lambda: cluster.delete("v1", "ConfigMap", name, "ns"),
        lambda: cluster.get("v1", "ConfigMap", "a", name or ".."),
        lambda: cluster.apply({**CONFIG_MAP, "metadata": {"name": name, "namespace": "ns"}}),
        lambda: cluster.get(f"apps/{name}", "Deployment", "a", "ns"),
    )
    for call in calls:
        with pytest.raises(ClusterError):
            call()
    assert {path for _, path, *_ in server.asked[before:]} <= {"/api/v1"}


@pytest.mark.security(20)
def test_a_name_with_a_query_in_it_stays_a_name(cluster: Cluster, server: ApiServer) -> None:
    """A record names an object `a?dryRun=All` → it is asked for under that name, quoted."""
    cluster.apply(CONFIG_MAP)
    cluster.delete("v1", "ConfigMap", "a?dryRun=All#", "ns")
    assert server.asked[-1][1] == "/api/v1/namespaces/ns/configmaps/a%3FdryRun=All%23"
    assert cluster.get("v1", "ConfigMap", "a", "ns") == CONFIG_MAP
    cluster.get("v1", "ConfigMap", "system:node", "ns")
    assert server.asked[-1][1].endswith("/system:node")
