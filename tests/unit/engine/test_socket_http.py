"""Answers on a Unix socket arrive whole, refusals with the server's words, and what breaks off is an error."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.engine import socket_http


@contextlib.contextmanager
def serving(folder: Path, answer: bytes) -> Iterator[tuple[Path, list[bytes]]]:
    """A server that gives one answer to one request, and notes the request."""
    path, asked = folder / "socket", list[bytes]()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(BrokenPipeError, ConnectionResetError):
                asked.append(connection.recv(9000))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield path, asked
        thread.join(10)


@pytest.mark.parametrize("size", [0, 5, 3 * socket_http.CHUNK + 7])
def test_the_whole_body_arrives_in_large_pieces(tmp_path: Path, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with serving(tmp_path, b"HTTP/1.0 200 OK\r\nContent-Type: application/x-tar\r\n\r\n" + body) as (path, asked):
        pieces = list(socket_http.get_unchunked(path, "/images/get?names=a%3A1", timeout=5))
    assert b"".join(pieces) == body
    assert len(pieces) <= size // socket_http.CHUNK + 2
    assert asked[0].startswith(b"GET /images/get?names=a%3A1 HTTP/1.0\r\n")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b'HTTP/1.0 404 Not Found\r\n\r\n{"message": "no such image"}', "no such image"),
        (b"HTTP/1.0 500 Oh\r\n\r\nbad", "HTTP/1.0 500 Oh"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "in chunks"),
        (b"HTTP/1.0 200 OK\r\n", "broke off"),
        (b"", "broke off"),
    ],
)
def test_other_answer_is_an_error_with_the_servers_message(tmp_path: Path, answer: bytes, words: str) -> None:
    with serving(tmp_path, answer) as (path, _), pytest.raises(OSError, match=words):
        list(socket_http.get_unchunked(path, "/", timeout=5))


def test_pieces_can_be_had_as_they_come(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        lines = socket_http.get_unchunked(tmp_path / "socket", "/logs", timeout=5, at_once=True)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(9000)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\none")
                heard.wait(5)

        heard, thread = threading.Event(), threading.Thread(target=serve)
        thread.start()
        assert next(lines) == b"one"
        heard.set()
        assert list(lines) == []
        thread.join(10)


def test_an_answer_may_be_left_early(tmp_path: Path) -> None:
    with serving(tmp_path, b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * (9 << 20)) as (path, _):
        body = socket_http.get_unchunked(path, "/", timeout=5)
        assert next(body)
        body.close()


def asked(path: Path) -> socket_http.Reply:
    return socket_http.ask(path, "POST", "/v1.41/exec", body=b"{}", timeout=5)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nwh\r\n3;x\r\nole\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nwhole",
    ],
)
def test_an_answer_of_any_form_is_read_whole(tmp_path: Path, answer: bytes) -> None:
    with serving(tmp_path, answer) as (path, requests):
        assert asked(path).body == b"whole"
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1.41/exec HTTP/1.1\r\n") and b"Content-Length: 2" in head and body == b"{}"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwho",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwho",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ],
)
def test_an_answer_that_breaks_off_is_an_error(tmp_path: Path, answer: bytes) -> None:
    with serving(tmp_path, answer) as (path, _), pytest.raises(ConnectionResetError):
        asked(path)


@pytest.mark.parametrize("body", [b"", b"page", b"[" * 100_000])
def test_content_that_cannot_be_read_is_an_error(body: bytes) -> None:
    with pytest.raises(ConnectionResetError, match="not JSON"):
        _ = socket_http.Reply(200, {}, body).content


def test_a_keep_alive_server_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(9000)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        assert asked(tmp_path / "socket").status == 204
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize(("status", "kind"), [(404, socket_http.NotThere), (409, socket_http.Refused)])
def test_refusals_are_told_apart_by_status(status: int, kind: type[OSError]) -> None:
    with pytest.raises(kind, match="no such thing") as caught:
        socket_http.require(socket_http.Reply(status, {}, b'{"message": "no such thing"}'))
    assert type(caught.value) is kind
    with pytest.raises(kind, match=f"status {status}"):
        socket_http.require(socket_http.Reply(status, {}, b"<html>"))
