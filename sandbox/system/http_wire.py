"""HTTP/1.1 on a connection (RFC 9112): writes requests to servers of this machine, and parses their answers.

The standard library's http.client imports TLS and the formats of mail, which takes longer than most pushes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, NamedTuple

LARGEST_HEAD = 64 << 10
LARGEST_WHOLE = 512 << 20  # bytes of an answer that is kept in memory
MOST_INTERIM = 16  # heads that only announce an answer
_BODILESS = (204, 304)


class Head(NamedTuple):
    """The head of an answer; names of headers are in lower case, and repeated ones are joined by commas."""

    status: int
    headers: Mapping[str, str]
    persistent: bool

    @property
    def length(self) -> int | None:
        """Return the length of the body; None where its end is marked, or is the connection's."""
        said = self.headers.get("content-length", "")
        return int(said) if said.isdecimal() and not self.is_chunked else None

    @property
    def is_chunked(self) -> bool:
        """Tell whether the body comes in chunks."""
        return self.headers.get("transfer-encoding", "").lower() == "chunked"


def request(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of a request. Raises ValueError for what would be read as further headers."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header has more than one line")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


def read_head(answer: BinaryIO) -> Head:
    """Read an answer up to its body. Raises OSError."""
    for _ in range(MOST_INTERIM):
        left = LARGEST_HEAD
        lines = list[str]()
        while not lines or lines[-1]:
            line = answer.readline(left)
            left -= len(line)
            if not line.endswith(b"\n"):
                raise broken_off()
            lines.append(line.decode("latin-1").rstrip("\r\n"))
        head = _head(lines[0], lines[1:-1])
        if head.status >= 200:  # otherwise it only announces the real answer
            return head
    raise _endless()


def _head(first: str, lines: list[str]) -> Head:
    version, _, rest = first.partition(" ")
    status = rest.partition(" ")[0]
    if not version.startswith("HTTP/1.") or not status.isdecimal():
        raise ConnectionResetError(f"the answer is not HTTP: {first[:80]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, text = line.partition(":")
        name, text = name.strip().lower(), text.strip()
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    options = headers.get("connection", "").lower()
    return Head(int(status), headers, "close" not in options if version > "HTTP/1.0" else "keep-alive" in options)


def is_bodiless(method: str, head: Head) -> bool:
    """Tell whether an answer has no body."""
    return method == "HEAD" or head.status in _BODILESS


def has_end(method: str, head: Head) -> bool:
    """Tell whether an answer marks its end, so that another one can follow on its connection."""
    return is_bodiless(method, head) or head.is_chunked or head.length is not None


def read_body(answer: BinaryIO, method: str, head: Head, size: int) -> Iterator[bytes]:
    """Yield the body in pieces of at most `size`. Raises OSError, also where it breaks off."""
    if is_bodiless(method, head):
        return
    if head.is_chunked:
        while length := _chunk_length(answer):
            yield from _exactly(answer, length, size)
            _end_line(answer)
        left = LARGEST_HEAD
        while trailer := _end_line(answer):
            left -= len(trailer)
            if left < 0:
                raise _endless()
    elif head.length is not None:
        yield from _exactly(answer, head.length, size)
    else:
        while piece := answer.read(size):
            yield piece


def whole(pieces: Iterable[bytes]) -> bytes:
    """Return a body in one piece. Raises OSError for one that is too large to be meant."""
    body, size = list[bytes](), 0
    for piece in pieces:
        body.append(piece)
        size += len(piece)
        if size > LARGEST_WHOLE:
            raise _endless()
    return b"".join(body)


def _endless() -> ConnectionResetError:
    return ConnectionResetError("the answer has no end")


def broken_off() -> ConnectionResetError:
    """Return the error for an answer that ends early."""
    return ConnectionResetError("the answer broke off")


def _exactly(answer: BinaryIO, length: int, size: int) -> Iterator[bytes]:
    while length:
        piece = answer.read(min(length, size))
        if not piece:
            raise broken_off()
        length -= len(piece)
        yield piece


def _chunk_length(answer: BinaryIO) -> int:
    digits = _end_line(answer).partition(b";")[0].strip()
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise broken_off()
    return int(digits, 16)


def _end_line(answer: BinaryIO) -> bytes:
    """Read to the end of a line, and return the text before it."""
    line = answer.readline(LARGEST_HEAD)
    if not line.endswith(b"\n"):
        raise broken_off()
    return line.rstrip(b"\r\n")
