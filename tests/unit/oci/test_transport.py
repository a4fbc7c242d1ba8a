"""Servers that break off, say nothing or refuse, and the pauses before another try."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.components.certificates.authority import make_leaf
from sandbox.oci import transport
from sandbox.oci.client import Client
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.transport import LONGEST_PAUSE, Transport, pause
from tests.support.registry_simulator import Fault, Simulator
from tests.support.tls import NOW, make_pki, presenting

HOST = "127.0.0.1"
COMPLETE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PKI = make_pki()


@contextmanager
def closing_early(folder: Path) -> Iterator[str]:
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
    with (
        closing_early(tmp_path) as url,
        Transport(url.removesuffix("/v2/")) as http,
        pytest.raises(RegistryError) as caught,
    ):
        http.request("PUT", url, data=iter([b"x" * (1 << 20)] * 50))
    assert (caught.value.transient, "trust the registry's" in caught.value.fix) == (trusted, not trusted)


@pytest.mark.security(6)
@pytest.mark.parametrize("url", ["http://user:secret@", "http://user:sec/ret@proxy:1", "http://[::1:80", "proxy:abc"])
def test_malformed_proxy_is_named_without_its_account(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A proxy's URL that no library can read → which variables may name it, and not its password."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, url)
    home = "https://registry.example.com"
    with Transport(home) as http, pytest.raises(RegistryError, match="no usable connection") as caught:
        http.request("GET", f"{home}/v2/")
    assert "sec" not in str(caught.value) and not caught.value.transient
    assert caught.value.fix.startswith("have HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY) name an http:// proxy")


@contextmanager
def serving(*answers: bytes) -> Iterator[str]:
    """Yield the URL of a server that answers one connection after the other, each before it has read a body."""
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection, suppress(OSError):
                    connection.recv(1 << 10)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(10)
                    while connection.recv(1 << 16):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://{HOST}:{server.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
        b"no HTTP at all\r\n\r\n",
    ],
    ids=["none", "short", "chunk", "odd"],
)
def test_incomplete_response_is_a_transient_failure(answer: bytes) -> None:
    with serving(answer) as url, Transport(url) as http, pytest.raises(RegistryError) as caught:
        http.request("GET", f"{url}/v2/")
    assert caught.value.transient


@pytest.mark.fault(21)
def test_silent_server_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen server takes the connection and says nothing → told after a minute, at the first try."""
    monkeypatch.setattr(transport, "QUESTION_TIMEOUT", 0.2)
    slept: list[float] = []
    with socket.create_server((HOST, 0)) as server:
        client = Client(f"http://{HOST}:{server.getsockname()[1]}", sleep=slept.append)
        with client, pytest.raises(RegistryError, match="no usable connection") as caught:
            client.ping()
        assert "accepts connections and does not answer" in caught.value.details
    assert slept == []


def test_connection_is_closed_when_the_server_refuses_a_body_early() -> None:
    """The server answers and closes before it has read a body → the answer counts, the connection does not."""
    refusal = b"HTTP/1.1 413 Too large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with serving(refusal, COMPLETE) as url, Transport(url) as http:
        pieces = (b"x" * 100_000 for _ in range(10))
        assert http.request("PUT", f"{url}/blob", data=pieces)[0].status_code == 413
        assert http.request("GET", f"{url}/v2/")[1] == b"ok"


@pytest.mark.fault(35)
@given(st.integers(0, 60), st.text())
@example(0, "Fri, 31 Dec 2100 23:59:59 GMT")
def test_pause_is_within_limits_for_any_retry_after(attempt: int, header: str) -> None:
    """Retry-After is any text → passed over."""
    assert 0 < pause(attempt, header) <= LONGEST_PAUSE
    assert pause(0, "86400") == LONGEST_PAUSE


@pytest.mark.fault(35)
@pytest.mark.parametrize("said", ["", "0"])
def test_a_busy_registry_that_names_no_time_gets_more_and_more(registry: Simulator, said: str) -> None:
    """429 without a time → pauses double, and end with an error; else the time is obeyed."""
    slept: list[float] = []
    with Client(registry.url, sleep=slept.append) as client:
        registry.faults = [Fault("GET", "/v2/", 429, times=5, retry_after=said)]
        client.ping()
        assert slept == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2])
        slept.clear()
        registry.faults = [Fault("GET", "/v2/", status, times=1, retry_after="3") for status in (429, 503)]
        client.ping()
        assert slept == [3.0, 3.0]
        registry.faults = [Fault("GET", "/v2/", 429, times=99)]
        with pytest.raises(RegistryError, match="refused"):
            client.ping()
