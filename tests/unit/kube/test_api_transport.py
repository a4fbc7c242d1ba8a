"""Kubeconfigs: TLS is checked, keys stay in no file, and programs that log in are reported and run when needed."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.keystore import Keystore
from sandbox.kube import api_transport
from sandbox.kube.api import Cluster, ClusterError
from sandbox.names import Names
from tests.support import api_server, http_server
from tests.support.api_server import ApiServer
from tests.support.programs import make_program
from tests.support.tls import make_pki, presenting


def kubeconfig(path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    content = yaml.safe_load(api_server.kubeconfig(path, 1).read_bytes())
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
            way = api_transport.connect(kubeconfig(tmp_path / "config", cluster, {"token": "t"}))
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
        found = api_transport.connect(kubeconfig(tmp_path / "config", cluster, user))
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
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}
    Cluster(names.kubeconfig).apply(config_map)
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
    cluster = Cluster(kubeconfig(tmp_path / "config", address, login))
    with pytest.raises(ClusterError) as caught:
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    assert json.loads(refusal[1])["message"] in caught.value.details and said in caught.value.details
    assert "kubectl auth whoami" in caught.value.fix
    assert capfd.readouterr() == ("", "")
