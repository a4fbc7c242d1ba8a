"""What servers of this machine are asked, and how their answers are taken apart."""

from __future__ import annotations

import io

import pytest

from sandbox.system import http_wire

OK = b"HTTP/1.1 200 OK\r\n"


def read(answer: bytes, method: str = "GET") -> tuple[http_wire.Head, bytes]:
    file = io.BytesIO(answer)
    head = http_wire.read_head(file)
    return head, b"".join(http_wire.read_body(file, method, head, 3))


def test_a_request_is_written_with_its_headers() -> None:
    sent = http_wire.request("PUT", "/v2/a?b=c", {"Host": "localhost:5001", "Content-Length": "0"})
    assert sent == b"PUT /v2/a?b=c HTTP/1.1\r\nHost: localhost:5001\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("text", ["a\r\nX: b", "a\nb", "a\r", "\N{SNOWMAN}"])
def test_a_header_cannot_become_another(text: str) -> None:
    with pytest.raises(ValueError):
        http_wire.request("GET", "/", {"Content-Type": text})


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK + b"Content-Length: 5\r\n\r\nwhole", b"whole"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nwh\r\n00003\r\nole\r\n0\r\nX: trailer\r\n\r\n", b"whole"),
        (OK + b"\r\nto the end", b"to the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204\r\n\r\n", b""),
    ],
)
def test_a_body_is_read_to_its_end(answer: bytes, body: bytes) -> None:
    assert read(answer)[1] == body


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 9\r\n\r\nshort",
        b"Content-Length: 9",
        b"Transfer-Encoding: chunked\r\n\r\n-5\r\nwhole\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n",
        b"X: " + b"x" * http_wire.LARGEST_HEAD + b"\r\n\r\n",
    ],
)
def test_an_answer_that_breaks_off_is_an_error(rest: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        read(OK + rest)


@pytest.mark.fault(37)
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * http_wire.LARGEST_HEAD,
    ],
)
def test_an_answer_without_an_end_is_an_error(answer: bytes) -> None:
    """A server that sends lines for ever, none of them the body → an error, and not a wait for ever."""
    with pytest.raises(ConnectionResetError, match="no end"):
        read(answer)


@pytest.mark.fault(37)
def test_body_is_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose body does not end → an error, before it takes the machine's memory."""
    monkeypatch.setattr(http_wire, "LARGEST_WHOLE", 5)
    assert http_wire.whole([b"who", b"le"]) == b"whole"
    with pytest.raises(ConnectionResetError, match="no end"):
        http_wire.whole(b"endless" for _ in iter(int, 1))


@pytest.mark.parametrize("answer", [b"HTTP/2 200\r\n\r\n", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 ok\r\n\r\n"])
def test_an_answer_that_is_not_http_is_told(answer: bytes) -> None:
    with pytest.raises(ConnectionResetError, match="not HTTP"):
        read(answer)


@pytest.mark.parametrize(
    ("answer", "method", "kept"),
    [
        (OK + b"Content-Length: 0\r\n\r\n", "GET", True),
        (OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n", "GET", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", "GET", True),
        (OK + b"Content-Length: 7\r\n\r\n", "HEAD", True),
        (OK + b"\r\n", "HEAD", True),
        (OK + b"\r\n", "GET", False),
    ],
)
def test_connection_is_kept_where_the_end_is_known(answer: bytes, method: str, kept: bool) -> None:
    head, body = read(answer, method)
    assert (head.persistent and http_wire.has_end(method, head), body) == (kept, b"")
