"""Connections to a server of this machine, and when they are used again."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from sandbox.kube import local_server
from sandbox.kube.api_connection import Connection
from sandbox.kube.api_transport import Plain
from sandbox.kube.local_server import LocalServer
from tests.support.http_server import Handler, answering


class Echo(Handler):
    """Answers with path, body and the client's port; closes, or waits before, where the path says so."""

    protocol_version = "HTTP/1.1"

    wait: Callable[[], object] = staticmethod(lambda: None)

    def do_POST(self) -> None:
        if "wait" in self.path:
            self.wait()
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        answer = f"{self.path} {body} {self.client_address[1]}".encode()
        self.reply(200, answer, {"Connection": "close"} if "close" in self.path else {})

    def do_GET(self) -> None:
        if "early" in self.path:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
            self.close_connection = True
            return
        if "number" in self.path:
            return self.do_POST()
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in (b"one\r\nt", b"wo\n", b"three"):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with answering(Echo) as echo:
        yield LocalServer(f"http://127.0.0.1:{echo.server_port}/below", None, 5.0)


def ask(server: LocalServer, path: str = "/x") -> tuple[str, str]:
    """What was understood, and the port it was asked from."""
    status, content = server.request("POST", path, {}, b"body")
    assert status == 200
    understood, _, port = content.decode().rpartition(" ")
    return understood, port


def test_a_request_goes_below_the_servers_path(server: LocalServer) -> None:
    assert ask(server)[0] == "/below/x body"


def test_a_connection_is_kept_for_the_next_request(server: LocalServer) -> None:
    assert ask(server)[1] == ask(server)[1]


def test_requests_at_once_share_a_few_connections(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_server, "TURN", 60.0)
    with ThreadPoolExecutor(20) as pool:
        ports = [port for _, port in pool.map(lambda _: ask(server), range(40))]
    assert len(set(ports)) <= local_server.FEW


def test_slow_requests_keep_no_other_waiting(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_server, "TURN", 0.01)
    end = threading.Event()
    monkeypatch.setattr(Echo, "wait", end.wait)
    with ThreadPoolExecutor(local_server.FEW) as pool:
        slow = [pool.submit(ask, server, "/wait") for _ in range(local_server.FEW)]
        try:
            assert ask(server)[0] == "/below/x body"
            assert not any(one.done() for one in slow)
        finally:
            end.set()


def test_requests_sent_at_once_are_answered_in_order(server: LocalServer) -> None:
    paths = [f"/number{number}" for number in range(50)]
    answers = [content.decode().split() for _, content in server.ask_all((path, {}) for path in paths)]
    assert [understood for understood, _ in answers] == [f"/below{path}" for path in paths]
    assert {port for _, port in answers} == {ask(server)[1]}  # of one connection, which is kept


def test_connection_that_was_asked_ahead_is_kept(server: LocalServer) -> None:
    api = Connection(Plain("", server, {}))
    with api.glance():
        api.read_ahead([("/number1", "*/*"), ("/number2", "*/*")])
        ports = {api.read((f"/number{number}", "*/*"))[1].split()[-1].decode() for number in (1, 2)}
        for thread in threading.enumerate():
            if thread.name == "ask the API server":
                thread.join()
    assert ports == {ask(server)[1]}


@pytest.mark.parametrize("last", ["/number-close", "/early"])
def test_server_may_end_the_connection_before_all_answers(server: LocalServer, last: str) -> None:
    found = []
    with suppress(ConnectionResetError):
        for status, _ in server.ask_all((path, {}) for path in ("/number1", "/x", last, "/number2")):
            found.append(status)
    assert found[:2] == [200, 200] and len(found) <= 3
    assert ask(server)[0] == "/below/x body"


def test_a_connection_that_the_server_closed_is_replaced(server: LocalServer) -> None:
    first = ask(server, "/close")[1]
    assert ask(server)[1] != first


def test_a_connection_that_idled_is_replaced(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask(server)[1]
    monkeypatch.setattr(local_server, "IDLE", 0.0)
    assert ask(server)[1] != first


def test_an_answer_that_goes_on_comes_in_pieces(server: LocalServer) -> None:
    with server.stream("/x", {}) as (status, pieces):
        assert (status, list(pieces)) == (200, [b"one\r\nt", b"wo\n", b"three"])
    assert list(Plain("", server, {}).lines("/x")) == [b"one", b"two", b"three"]


def test_an_answer_that_ends_early_is_an_error(server: LocalServer) -> None:
    with pytest.raises(ConnectionResetError):
        server.request("GET", "/early", {}, None)
    assert ask(server)[0] == "/below/x body"


def test_a_server_that_speaks_no_tls_leaves_no_socket_open(server: LocalServer) -> None:
    url = server._place.geturl().replace("http", "https")
    with pytest.raises(ssl.SSLError):
        LocalServer(url, ssl.create_default_context(), 5.0).request("GET", "/x", {}, None)


def test_server_that_stands_still_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_server, "OPENING", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # the kernel accepts for it, and nothing answers
        url = f"https://127.0.0.1:{frozen.getsockname()[1]}"
        with pytest.raises(TimeoutError):
            LocalServer(url, ssl.create_default_context(), 60.0).request("GET", "/x", {}, None)


def test_slow_answer_is_waited_for(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_server, "OPENING", 0.1)
    monkeypatch.setattr(Echo, "wait", lambda _: time.sleep(0.3))
    assert ask(server, "/wait")[0] == "/below/wait body"
