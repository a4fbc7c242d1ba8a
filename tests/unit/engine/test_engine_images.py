"""A long answer on a Unix socket arrives whole, a refusal with the server's words, and a broken one is an error."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.engine import engine_images


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


@pytest.mark.parametrize("size", [0, 5, 3 * engine_images.CHUNK + 7])
def test_the_whole_body_arrives_in_large_pieces(tmp_path: Path, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with serving(tmp_path, b"HTTP/1.0 200 OK\r\nContent-Type: application/x-tar\r\n\r\n" + body) as (path, asked):
        pieces = list(engine_images.get_unchunked(path, "/images/get?names=a%3A1", timeout=5))
    assert b"".join(pieces) == body
    assert len(pieces) <= size // engine_images.CHUNK + 2
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
        list(engine_images.get_unchunked(path, "/", timeout=5))


def test_an_answer_may_be_left_early(tmp_path: Path) -> None:
    with serving(tmp_path, b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * (9 << 20)) as (path, _):
        body = engine_images.get_unchunked(path, "/", timeout=5)
        assert next(body)
        body.close()
