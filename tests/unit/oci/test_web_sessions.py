"""HTTPS to servers that break off: what the other end did decides whether another try may help."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sandbox.components.certificates.authority import make_leaf
from sandbox.oci.guarded_sockets import Guard
from sandbox.oci.http_response import Broken
from sandbox.oci.web_sessions import WebSessions
from tests.support.tls import NOW, make_pki, presenting

HOST = "127.0.0.1"
PKI = make_pki()


@contextmanager
def closing(folder: Path) -> Iterator[str]:
    """Yield the URL of a server that reads the beginning of a request and closes: no answer, no TLS alert, no reset."""
    context = presenting(make_leaf(PKI.issuing, [HOST], now=NOW), folder)

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            plain, _ = listener.accept()
            with context.wrap_socket(plain, server_side=True) as secured:
                secured.settimeout(10)
                secured.recv(1 << 16)
                socket.socket.shutdown(secured, socket.SHUT_WR)  # of TCP alone
                while not secured.read(1 << 16):
                    pass

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"https://{HOST}:{listener.getsockname()[1]}/v2/"
        thread.join()


@pytest.mark.parametrize("trusted", [True, False])
def test_server_closing_in_a_body_is_not_called_untrusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    (tmp_path / "root.pem").write_bytes(PKI.root.cert_pem if trusted else make_pki().root.cert_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "root.pem"))
    sessions = WebSessions(Guard(HOST, near=True), own=False)
    with closing(tmp_path) as url, pytest.raises(Broken) as caught:
        sessions.send("PUT", url, {}, iter([b"x" * (1 << 20)] * 50))
    sessions.close()
    assert (caught.value.passing, caught.value.untrusted) == (trusted, not trusted)


@pytest.mark.security(6)
@pytest.mark.parametrize("url", ["http://user:secret@", "http://user:sec/ret@proxy:1", "http://[::1:80", "proxy:abc"])
def test_malformed_proxy_is_named_without_its_account(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A proxy's URL that no library can read → its variable, and neither a bug nor the password."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, url)
    sessions = WebSessions(Guard(HOST, near=False), own=True)
    with pytest.raises(Broken, match="HTTPS_PROXY names no proxy: ") as caught:
        sessions.send("GET", "https://registry.example.com/v2/", {}, None)
    sessions.close()
    assert "sec" not in f"{caught.value} {caught.value.proxy}" and not caught.value.passing


@contextmanager
def redirecting(location: str, body: Iterator[bytes]) -> Iterator[str]:
    """Yield the URL of a server that answers one request with a redirect, whose body goes on as long as it is read."""

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(f"HTTP/1.1 307 X\r\nLocation: {location}\r\nConnection: close\r\n\r\n".encode())
                for piece in body:
                    connection.sendall(piece)

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"http://{HOST}:{listener.getsockname()[1]}/v2/"
        thread.join()


def test_redirect_to_no_url_is_an_answer_like_others() -> None:
    sessions = WebSessions(Guard(HOST, near=True), own=False)
    with redirecting("http://[bad/", iter(())) as url:
        assert sessions.send("GET", url, {}, None).header("Location") == "http://[bad/"
    sessions.close()


def test_body_of_a_redirect_is_not_read_by_itself() -> None:
    """It may have no end, and the limits of answers are the caller's."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 256 << 20:
            sent += 1 << 20
            yield b"x" * (1 << 20)

    sessions = WebSessions(Guard(HOST, near=True), own=False)
    with redirecting("/v2/", endless()) as url:
        sessions.send("GET", url, {}, None).close()
    sessions.close()
    assert sent < 64 << 20
