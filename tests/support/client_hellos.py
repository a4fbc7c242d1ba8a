"""ClientHellos for tests: OpenSSL's own, and ones made by hand to be as odd as need be."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Sequence

GREASE = bytes.fromhex("0a0a")  # RFC 8701


def of_openssl(host: str | None, *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The first bytes that a client which asks for `host` sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = newest
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def message(
    host: bytes | None, *, extensions: Sequence[bytes] = (), padding: int = 0, with_extensions: bool = True
) -> bytes:
    """A ClientHello message; `extensions` come before the server name, `padding` bytes (RFC 7685) after it."""
    body = b"\x03\x03" + bytes(32) + b"\x00" + _vector(2, GREASE + b"\x13\x01") + _vector(1, b"\x00")
    if with_extensions:
        names = () if host is None else (extension(0, _vector(2, b"\x00" + _vector(2, host))),)
        more = (extension(21, bytes(padding)),) if padding else ()
        body += _vector(2, b"".join((*extensions, *names, *more)))
    return b"\x01" + _vector(3, body)


def extension(kind: int, content: bytes) -> bytes:
    """An extension of a ClientHello."""
    return kind.to_bytes(2) + _vector(2, content)


def records(data: bytes, sizes: Sequence[int] = (1 << 14,), *, kind: int = 22) -> bytes:
    """`data` in records whose contents have these sizes, the last of which is used again and again."""
    made, left = b"", list(sizes)
    while data:
        size = left.pop(0) if len(left) > 1 else left[0]
        made += bytes([kind]) + b"\x03\x01" + _vector(2, data[:size])
        data = data[size:]
    return made


def _vector(size: int, content: bytes) -> bytes:
    return len(content).to_bytes(size) + content
