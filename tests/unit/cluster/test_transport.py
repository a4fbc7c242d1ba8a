"""Which kubeconfigs are followed without the official client, and that TLS is checked then."""

from __future__ import annotations

import base64
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.certs.keystore import Keystore
from sandbox.cluster import transport
from tests.api_server import ApiServer


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
def test_what_is_simple_and_of_this_machine_takes_no_client(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], plain: bool
) -> None:
    found = transport.connect(kubeconfig(tmp_path / "config", cluster, user))
    assert isinstance(found, transport.Plain) is plain


@pytest.mark.parametrize("as_file", [False, True])
def test_the_server_has_to_be_vouched_for_by_the_kubeconfig_s_authority(tmp_path: Path, as_file: bool) -> None:
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
            way = transport.connect(kubeconfig(tmp_path / "config", cluster, {"token": "t"}))
            if trusted:
                assert way.request("GET", "/readyz", {}, None)[0] == 200
                continue
            with pytest.raises(transport.Unanswered, match="certificate verify failed"):
                way.request("GET", "/readyz", {}, None)
        server.shutdown()
