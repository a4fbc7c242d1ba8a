"""The Kubernetes API by a small server that remembers how it was asked: TLS, logins, and what is being deleted."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.keystore import Keystore
from sandbox.errors import Away
from sandbox.kube import api_transport, deletion, readiness
from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.deletion import BeingDeleted
from sandbox.kube.workload_status import progress
from sandbox.names import Names
from tests.support import http_server
from tests.support.api_server import ApiServer, Refused, kubeconfig
from tests.support.ports import free_port
from tests.support.programs import make_program
from tests.support.tls import make_pki, presenting

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


def kubeconfig_of(path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    content = yaml.safe_load(kubeconfig(path, 1).read_bytes())
    content["clusters"][0]["cluster"], content["users"][0]["user"] = cluster, user
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("as_file", [False, True])
def test_server_must_be_signed_by_the_kubeconfigs_authority(tmp_path: Path, as_file: bool) -> None:
    keystores = [Keystore(tmp_path / name) for name in ("ours", "other")]
    for keystore in keystores:
        keystore.authority(["a.test"], now=datetime.now(UTC))
    pair = keystores[0].leaf("server", ["a.test", "127.0.0.1"], now=datetime.now(UTC))
    with http_server.serving(ApiServer(), presenting(pair, tmp_path)) as server:
        for keystore, trusted in zip(keystores, (True, False), strict=True):
            cluster = {"server": f"https://127.0.0.1:{server.server_address[1]}"}
            if as_file:
                cluster["certificate-authority"] = str(keystore.root.cert)
            else:
                cluster["certificate-authority-data"] = coded(keystore.root.cert.read_bytes())
            way = api_transport.of(kubeconfig_of(tmp_path / "config", cluster, {"token": "t"}))
            refusal = pytest.raises(api_transport.Unanswered, match="certificate verify failed")
            with nullcontext() if trusted else refusal:
                assert way.request("GET", "/readyz", {}, None)[0] == 200


@pytest.mark.security(1)
def test_kubeconfig_key_is_used_and_left_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client certificate in a kubeconfig → the server sees it; no file outlives the connecting."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    now = datetime.now(UTC)
    pki = make_pki("a.test", now=now)
    pair = make_leaf(pki.issuing, ["a.test", "127.0.0.1"], now=now, client=True)
    context = presenting(pair, tmp_path)
    context.load_verify_locations(cadata=pki.root.cert_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    with http_server.serving(ApiServer(), context) as server:
        cluster = {
            "server": f"https://127.0.0.1:{server.server_address[1]}",
            "certificate-authority-data": coded(pki.root.cert_pem),
        }
        user = {"client-certificate-data": coded(pair.cert_pem), "client-key-data": coded(pair.key_pem)}
        found = api_transport.of(kubeconfig_of(tmp_path / "config", cluster, user))
        assert list(place.iterdir()) == []
        assert found.request("GET", "/readyz", {}, None)[0] == 200


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_read_is_sent_once_while_answers_are_kept(server: ApiServer, names: Names) -> None:
    way = api_transport.of(names.kubeconfig)
    with api_transport.keeping(names.kubeconfig):
        with api_transport.keeping(names.kubeconfig):
            assert [way.read("/readyz", "*/*") for _ in range(2)] == [(200, b"ok")] * 2
        way.read("/readyz", "*/*")
        way.read("/apis", "*/*")
    way.read("/readyz", "*/*")
    assert [place for _, place, *_ in server.asked] == ["/readyz", "/apis", "/readyz"]


def test_busy_server_is_asked_again(server: ApiServer, names: Names) -> None:
    server.refusal = (429, b"later")
    threading.Timer(0.15, lambda: setattr(server, "refusal", None)).start()
    Cluster(names.kubeconfig).apply(CONFIG_MAP)
    assert [method for method, *_ in server.asked].count("PATCH") > 1


ANONYMOUS = b'{"message": "namespaces is forbidden: User \\"system:anonymous\\" cannot patch"}'


@pytest.mark.parametrize("refusal", [(401, b'{"message": "Unauthorized"}'), (403, ANONYMOUS)])
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo log in first >&2; exit 3", "exec: process returned 3. log in first"),
        ("echo nothing", "exec: failed to decode process output"),
        (None, "No such file or directory"),
    ],
)
def test_cluster_without_a_login_names_the_fix(
    server: ApiServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    script: str | None,
    said: str,
    refusal: tuple[int, bytes],
) -> None:
    """A program that a kubeconfig names does not log in → what the API server and the program say, and what to do."""
    if script is not None:
        make_program(tmp_path / "login", script)
    login = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(tmp_path / "login")}}
    server.refusal = refusal
    address = {"server": f"http://127.0.0.1:{server.server_port}"}
    cluster = Cluster(kubeconfig_of(tmp_path / "config", address, login))
    with pytest.raises(ClusterError) as caught:
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    assert json.loads(refusal[1])["message"] in caught.value.details and said in caught.value.details
    assert "kubectl auth whoami" in caught.value.fix
    assert capfd.readouterr() == ("", "")


APP = "/apis/apps/v1/namespaces/shop/deployments/app"
NS = "/api/v1/namespaces/ns"
LEAVING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
WANTED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "app", "namespace": "shop"},
}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", **LEAVING}}


def leaving(finalizer: str = "foregroundDeletion") -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": "app"}}}
    held = {**WANTED["metadata"], **LEAVING, "uid": "1", "finalizers": [finalizer]}
    return {**WANTED, "metadata": held, "spec": spec}


def test_a_refusal_by_an_ending_namespace_is_waited_out(server: ApiServer, cluster: Cluster) -> None:
    server.objects[NS] = NAMESPACE

    def admit(manifest: dict[str, Any]) -> dict[str, Any]:
        if NS in server.objects:
            raise Refused(403, "unable to create new content in namespace ns because it is being terminated")
        return manifest

    server.admit = admit
    threading.Timer(0.1, server.objects.pop, (NS,)).start()
    cluster.apply(CONFIG_MAP)
    assert server.objects[f"{NS}/configmaps/a"] == CONFIG_MAP


def test_object_that_stays_after_deletion_is_named_with_its_finalizers(
    server: ApiServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "TIMEOUT", 0.0)
    server.objects[APP] = leaving("example.com/clean-up")
    with pytest.raises(BeingDeleted) as caught:
        deletion.await_end(cluster, [server.objects[APP]])
    assert caught.value.brief == "Deployment shop/app is being deleted and still there after 0 s"
    assert "Deployment shop/app: finalizer example.com/clean-up" in caught.value.details
    assert "kubectl edit deployment app --namespace=shop" in caught.value.fix


def test_finalizer_of_kubernetes_is_not_to_be_removed_and_namespace_names_its_objects(
    server: ApiServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "TIMEOUT", 0.0)
    server.objects[APP] = leaving("kubernetes.io/pvc-protection")
    condition = {"type": "NamespaceContentRemaining", "status": "True", "message": "there are 1 persistentvolumeclaims"}
    server.objects[NS] = {**NAMESPACE, "status": {"conditions": [condition]}}
    with pytest.raises(BeingDeleted, match="Namespace ns") as caught:
        deletion.await_end(cluster, [server.objects[APP], server.objects[NS]])
    assert "finalizer kubernetes.io/pvc-protection" in caught.value.details
    assert "there are 1 persistentvolumeclaims" in caught.value.details
    assert "finalizer" not in caught.value.fix


def test_a_workload_that_will_not_stay_is_not_waited_for(server: ApiServer, cluster: Cluster) -> None:
    readiness.wait_ready(cluster, [WANTED], timeout=0)
    server.objects[APP] = leaving()
    assert progress(server.objects[APP]) == "is being deleted"
    readiness.wait_ready(cluster, [WANTED], timeout=0)


def test_annotating_a_missing_object_creates_nothing(server: ApiServer, cluster: Cluster) -> None:
    with pytest.raises(ClusterError) as caught:
        cluster.change(CONFIG_MAP, {"metadata": {"annotations": {"a": "b"}}})
    assert (caught.value.status, server.objects) == (404, {})
    server.objects[APP] = {**WANTED, "spec": {"replicas": 2}}
    cluster.change(WANTED, {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}, manager="other")
    changed = {"replicas": 2, "template": {"metadata": {"annotations": {"a": "b"}}}}
    assert server.objects[APP]["spec"] == changed
    assert server.asked[-1][3] == {"fieldManager": ["other"]}
