"""Connections to a server of this machine, and when they are used again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.kube import local_server
from sandbox.kube.local_server import LocalServer


class Echo(BaseHTTPRequestHandler):
    """Answers with path, body and the client's port; closes where the path says so."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        answer = f"{self.path} {body} {self.client_address[1]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        if "close" in self.path:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as echo:
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        yield LocalServer(f"http://127.0.0.1:{echo.server_port}/below", None, 5.0)
        echo.shutdown()


def ask(server: LocalServer, path: str = "/x") -> tuple[str, str]:
    """What was understood, and the port it was asked from."""
    status, content = server.request("POST", path, {}, "body")
    assert status == 200
    understood, _, port = content.decode().rpartition(" ")
    return understood, port


def test_a_request_goes_below_the_servers_path(server: LocalServer) -> None:
    assert ask(server)[0] == "/below/x body"


def test_a_connection_is_kept_for_the_next_request(server: LocalServer) -> None:
    assert ask(server)[1] == ask(server)[1]


def test_a_connection_that_the_server_closed_is_replaced(server: LocalServer) -> None:
    first = ask(server, "/close")[1]
    assert ask(server)[1] != first


def test_a_connection_that_idled_is_replaced(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask(server)[1]
    monkeypatch.setattr(local_server, "IDLE", 0.0)
    assert ask(server)[1] != first
