"""A nameserver of the test's own, which tells what it was asked for."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from socketserver import BaseRequestHandler, ThreadingUDPServer


class Nameserver(ThreadingUDPServer):
    """Answers every name of `known` with its address, knows no other, and keeps the names that it was asked for."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: str, known: Mapping[str, str]) -> None:
        super().__init__((address, 53), Question)
        self.known = known
        self.asked: list[str] = []


class Question(BaseRequestHandler):
    server: Nameserver

    def handle(self) -> None:
        """RFC 1035, section 4.1, for one question."""
        data, answer_to = self.request
        labels, at = list[str](), 12
        while length := data[at]:
            labels.append(data[at + 1 : at + 1 + length].decode().lower())
            at += 1 + length
        kind, question = data[at + 1 : at + 3], data[12 : at + 5]
        name = ".".join(labels)
        self.server.asked.append(name)
        address = self.server.known.get(name)
        found = address is not None and kind == b"\0\1"
        flags = b"\x81\x80" if address is not None else b"\x81\x83"
        counts = b"\0\1" + (b"\0\1" if found else b"\0\0") + b"\0\0\0\0"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address) if found and address else b""
        answer_to.sendto(data[:2] + flags + counts + question + record, self.client_address)
