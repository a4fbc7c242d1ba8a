"""Which kubeconfigs are followed without the official client, and that TLS is checked then."""

from __future__ import annotations

import base64
import json
import logging
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.keystore import Keystore
from sandbox.kube import api_transport
from sandbox.kube.api import Cluster, ClusterError
from tests.support.api_server import ApiServer, serving
from tests.support.tls import make_pki


def kubeconfig(path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    content = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("cluster", "user", "plain"),
    [
        ({"server": "http://127.0.0.1:1"}, {"token": "t"}, True),
        ({"server": "https://localhost:1"}, {}, True),
        ({"server": "https://api.example.test:6443"}, {"token": "t"}, False),
        ({"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": True}, {}, False),
        ({"server": "https://127.0.0.1:1", "proxy-url": "http://127.0.0.1:2"}, {}, False),
        ({"server": "https://127.0.0.1:1"}, {"username": "u", "password": "p"}, False),
    ],
)
def test_simple_local_request_needs_no_client_library(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], plain: bool
) -> None:
    found = api_transport.connect(kubeconfig(tmp_path / "config", cluster, user))
    assert isinstance(found, api_transport.Plain) is plain


@pytest.mark.parametrize("as_file", [False, True])
def test_server_must_be_signed_by_the_kubeconfigs_authority(tmp_path: Path, as_file: bool) -> None:
    """An API server with a certificate of another authority → never spoken to."""
    keystores = [Keystore(tmp_path / name) for name in ("ours", "other")]
    for keystore in keystores:
        keystore.authority(["a.test"], now=datetime.now(UTC))
    pair = keystores[0].leaf("server", ["a.test", "127.0.0.1"], now=datetime.now(UTC))
    (tmp_path / "server.pem").write_bytes(pair.key_pem + pair.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with ApiServer() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for keystore, trusted in zip(keystores, (True, False), strict=True):
            root = keystore.root.cert
            held = {"certificate-authority": str(root)}
            if not as_file:
                held = {"certificate-authority-data": base64.b64encode(root.read_bytes()).decode()}
            cluster = {"server": f"https://127.0.0.1:{server.server_address[1]}", **held}
            way = api_transport.connect(kubeconfig(tmp_path / "config", cluster, {"token": "t"}))
            if trusted:
                assert way.request("GET", "/readyz", {}, None)[0] == 200
                continue
            with pytest.raises(api_transport.Unanswered, match="certificate verify failed"):
                way.request("GET", "/readyz", {}, None)
        server.shutdown()


@pytest.mark.security(1)
@pytest.mark.parametrize("way", ["plain", "official"])
def test_kubeconfig_key_is_used_and_left_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A client certificate in a kubeconfig → the server sees it; no file outlives the connecting."""
    if way == "official":
        monkeypatch.setattr(api_transport, "_plain", lambda content, folder: None)
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    now = datetime.now(UTC)
    pki = make_pki("a.test", now=now)
    pair = make_leaf(pki.issuing, ["a.test", "127.0.0.1"], now=now, client=True)
    (tmp_path / "both.pem").write_bytes(pair.key_pem + pair.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    context.load_verify_locations(cadata=pki.root.cert_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    with ApiServer() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cluster = {
            "server": f"https://127.0.0.1:{server.server_address[1]}",
            "certificate-authority-data": coded(pki.root.cert_pem),
        }
        user = {"client-certificate-data": coded(pair.chain_pem), "client-key-data": coded(pair.key_pem)}
        found = api_transport.connect(kubeconfig(tmp_path / "config", cluster, user))
        assert list(place.iterdir()) == []
        assert found.request("GET", "/readyz", {}, None)[0] == 200
        server.shutdown()


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("#!/bin/sh\necho log in first >&2; exit 3\n", "exec: process returned 3. log in first"),
        ("#!/bin/sh\necho nothing\n", "exec: failed to decode process output"),
        (None, "No such file or directory"),
    ],
)
def test_program_that_does_not_log_in_is_named_with_its_words(
    tmp_path: Path, program: str | None, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if program:
        (tmp_path / "login").write_text(program)
        (tmp_path / "login").chmod(0o755)
    login = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(tmp_path / "login")}
    path = kubeconfig(tmp_path / "config", {"server": "https://127.0.0.1:1"}, {"exec": login})
    with pytest.raises(ClusterError, match="no usable kubeconfig") as caught:
        Cluster(path)
    assert said in caught.value.details and "kubectl auth whoami" in caught.value.fix
    assert capfd.readouterr() == ("", "")


def test_login_that_ends_during_a_command_has_a_fix(tmp_path: Path) -> None:
    """A program gives an expired token, and then fails → its words and what to do, not only Unauthorized."""
    status = {"token": "secret", "expirationTimestamp": "2020-01-01T00:00:00Z"}
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    login = tmp_path / "login"
    login.write_text(f"#!/bin/sh\nmkdir {tmp_path}/ran || exit 3\necho '{json.dumps(answer)}'\n")
    login.chmod(0o755)
    user = {"exec": {"apiVersion": answer["apiVersion"], "command": str(login)}}
    cluster = Cluster(kubeconfig(tmp_path / "config", {"server": "https://127.0.0.1:1"}, user))
    with pytest.raises(ClusterError) as caught:
        cluster.get("v1", "Namespace", "default")
    assert "exec: process returned 3" in caught.value.details and "kubectl auth whoami" in caught.value.fix


def test_error_of_another_thread_is_no_failed_login() -> None:
    with api_transport._login():
        other = threading.Thread(target=logging.error, args=("exec: process returned 3",))
        other.start()
        other.join()
    with pytest.raises(api_transport.NoLogin, match="exec: process returned 4"), api_transport._login():
        logging.error("exec: process returned 4")


def test_login_is_used_until_shortly_before_its_end(tmp_path: Path) -> None:
    """A token for a minute → the program that gives it runs once for all requests."""
    expires = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {"token": "secret", "expirationTimestamp": expires}
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    login = tmp_path / "login"
    login.write_text(f"#!/bin/sh\necho ran >>{tmp_path}/ran\necho '{json.dumps(answer)}'\n")
    login.chmod(0o755)
    user = {"exec": {"apiVersion": answer["apiVersion"], "command": str(login)}}
    with serving() as server:
        cluster = Cluster(kubeconfig(tmp_path / "config", {"server": f"http://127.0.0.1:{server.server_port}"}, user))
        assert [cluster.is_up() for _ in range(3)] == [True] * 3
    assert (tmp_path / "ran").read_text() == "ran\n"
