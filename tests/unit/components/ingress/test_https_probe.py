"""The probe against a TLS server on loopback with certificates of our own authority."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import describe
from sandbox.components.ingress.https_probe import ask
from tests.support.ports import free_port
from tests.support.tls import DOMAIN, NOW, Pki, make_pki, presenting


@pytest.fixture(scope="module")
def pki() -> Pki:
    return make_pki(DOMAIN)


@contextmanager
def serving(pki: Pki, answer: bytes, folder: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the port of a server for one request, and a list for what it was asked."""
    context = presenting(make_leaf(pki.issuing, (DOMAIN,), now=NOW), folder)
    asked: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.settimeout(10)
        with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
            asked.append(secured.recv(4096))
            secured.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1], asked
        thread.join()


def root(pki: Pki, folder: Path) -> Path:
    path = folder / "root.crt"
    path.write_bytes(pki.root.cert_pem)
    return path


@pytest.mark.parametrize("status", [200, 404])
def test_any_status_over_a_trusted_connection_is_an_answer(pki: Pki, tmp_path: Path, status: int) -> None:
    with serving(pki, f"HTTP/1.1 {status} Whatever\r\n\r\nbody".encode(), tmp_path) as (port, asked):
        answer = ask(DOMAIN, address="127.0.0.1", port=port, root=root(pki, tmp_path))
    assert (answer.status, answer.trouble) == (status, "")
    assert describe(answer.certificate.encode(), now=NOW).hosts == (DOMAIN,)
    assert asked[0].startswith(f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\n".encode())


@pytest.mark.parametrize(
    "content", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1\r\n", b"\xff\xfe\r\n", "HTTP/1.1 ² OK\r\n".encode()]
)
def test_non_http_answer_is_reported(pki: Pki, tmp_path: Path, content: bytes) -> None:
    with serving(pki, content, tmp_path) as (port, _):
        answer = ask(DOMAIN, address="127.0.0.1", port=port, root=root(pki, tmp_path))
    assert answer.status is None and answer.trouble.startswith("answered")


@pytest.mark.parametrize(
    ("host", "own", "trouble"), [(DOMAIN, False, "certificate verify failed"), ("other.test", True, "other.test")]
)
def test_certificate_of_another_ca_or_host_is_not_trusted(
    pki: Pki, tmp_path: Path, host: str, own: bool, trouble: str
) -> None:
    with serving(pki, b"HTTP/1.1 200 OK\r\n\r\n", tmp_path) as (port, asked):
        answer = ask(host, address="127.0.0.1", port=port, root=root(pki if own else make_pki(DOMAIN), tmp_path))
    assert answer.status is None and trouble in answer.trouble
    assert asked == []


def test_missing_server_missing_root_and_too_long_label_are_reported(pki: Pki, tmp_path: Path) -> None:
    """Kubernetes accepts a label of 64 characters in the host of an Ingress, TLS does not."""
    port = free_port()
    assert "refused" in ask(DOMAIN, address="127.0.0.1", port=port, root=root(pki, tmp_path)).trouble
    missing = ask(DOMAIN, address="127.0.0.1", port=port, root=tmp_path / "none")
    assert missing.status is None
    assert missing.trouble
    assert "label" in ask(f"{'a' * 64}.{DOMAIN}", address="127.0.0.1", port=port, root=None).trouble
