"""Reads the server name out of the beginning of a TLS connection, as it arrives, without taking part in it.

RFC 8446 sections 4.1.2 (ClientHello), 5.1 (records) and RFC 6066 section 3 (server_name); TLS 1.0 to 1.3 begin alike.
"""

from __future__ import annotations

from dataclasses import dataclass

LIMIT = 32 << 10  # bytes; the largest that browsers send, with post-quantum shares and ECH, are below 3 KiB
_CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 1, 0, 0
_RECORD_HEADER, _MESSAGE_HEADER, _LARGEST_RECORD = 5, 4, 1 << 14


class NotTls(Exception):
    """What came is no ClientHello, or one that no client sends."""


@dataclass(frozen=True)
class ClientHello:
    """`host` is the server name asked for, in lower case; None when there is none."""

    host: str | None


class Reader:
    """Takes the bytes of a connection, in pieces of any size, until the ClientHello is complete."""

    def __init__(self) -> None:
        self.raw = bytearray()
        """All that was fed, which the server that is chosen has to get."""
        self._taken = 0
        self._message = bytearray()

    def feed(self, data: bytes) -> ClientHello | None:
        """Return the ClientHello once it is complete, None before; raises NotTls as soon as it cannot become one."""
        self.raw += data
        while self._take_record():
            length = int.from_bytes(self._message[1:_MESSAGE_HEADER])
            if self._message[0] != _CLIENT_HELLO:
                raise NotTls("another message than a ClientHello")
            if len(self._message) >= _MESSAGE_HEADER and length > LIMIT:
                raise NotTls("too long")
            if len(self._message) >= _MESSAGE_HEADER + length:
                return ClientHello(_host(memoryview(self._message)[_MESSAGE_HEADER : _MESSAGE_HEADER + length]))
        if len(self.raw) > LIMIT + _RECORD_HEADER:
            raise NotTls("too long")
        return None

    def _take_record(self) -> bool:
        """Move the next record's content to the message; False when it is not complete yet."""
        header = self.raw[self._taken : self._taken + _RECORD_HEADER]
        if not b"\x16\x03".startswith(header[:2]):  # handshake, and the first byte of all versions from 3.1 on
            raise NotTls("no handshake record of TLS")
        if len(header) < _RECORD_HEADER:
            return False
        length = int.from_bytes(header[3:])
        if not 0 < length <= _LARGEST_RECORD:
            raise NotTls(f"a record of {length} bytes")
        end = self._taken + _RECORD_HEADER + length
        if len(self.raw) < end:
            return False
        self._message += self.raw[end - length : end]
        self._taken = end
        return True


class _Vectors:
    """Reads the variable-length vectors that TLS is made of, each preceded by its length."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    def __bool__(self) -> bool:
        return len(self._data) > 0

    def take(self, length: int) -> memoryview:
        if length > len(self._data):
            raise NotTls("a length leads beyond the end")
        taken, self._data = self._data[:length], self._data[length:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> memoryview:
        """Return a vector whose length takes `size` bytes."""
        return self.take(self.number(size))


def _host(body: memoryview) -> str | None:
    hello = _Vectors(body)
    hello.take(2 + 32)  # legacy_version, random
    hello.vector(1)  # legacy_session_id
    hello.vector(2)  # cipher_suites
    hello.vector(1)  # legacy_compression_methods
    if not hello:
        return None  # TLS 1.2 and older may have no extensions
    extensions = _Vectors(hello.vector(2))
    found: list[memoryview] = []
    while extensions:  # unknown kinds, GREASE (RFC 8701) among them, are passed over
        kind, content = extensions.number(2), extensions.vector(2)
        found += [content] if kind == _SERVER_NAME else []
    if len(found) > 1:
        raise NotTls("two extensions of one kind")
    return _server_name(_Vectors(found[0])) if found else None


def _server_name(extension: _Vectors) -> str | None:
    names = _Vectors(extension.vector(2))
    hosts: list[str] = []
    while names:
        kind, name = names.number(1), names.vector(2)
        if kind == _HOST_NAME:
            hosts.append(_text(bytes(name)))
    if extension or len(hosts) > 1:
        raise NotTls("two server names")
    return hosts[0] if hosts else None


def _text(name: bytes) -> str:
    if not name or len(name) > 253 or not all(0x21 <= byte <= 0x7E for byte in name):
        raise NotTls("a server name that is none")
    return name.decode("ascii").lower()
