"""Talks to a running HAProxy by the master's socket: changes maps and certificates, reads the state of servers.

HAProxy's management guide, sections 9.3 (worker commands) and 9.4 (master CLI; `@1` is the present worker). There is no
socket where the engine is on another machine: sockets do not work in a folder that is shared with a virtual machine.
"""

from __future__ import annotations

import csv
import io
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.system import host_network

TIMEOUT = 30.0
PAYLOAD = 8 << 10  # bytes of one command; HAProxy's own limit is a buffer of 16 KiB

# A passed check; it has an asterisk while the next one runs (HAProxy, Management Guide, section 9.1).
_CHECKED = re.compile(r"(\* )?L[4-7]OKC?\b")
_TAKEN = re.compile(r"cannot bind socket \(Address already in use\) for \[(\S+)\]")


class Unreachable(OSError):
    """The socket does not exist here, or no process listens on it."""


@dataclass(frozen=True)
class Server:
    """HAProxy's counts of bytes and connections for one server since the last reload, and its last check."""

    backend: str
    name: str
    address: str
    health: str
    last_check: str
    current: int
    total: int
    bytes_in: int
    bytes_out: int

    @property
    def answers(self) -> bool:
        """Tell whether it passed the last check: after the first of several failures in a row it still counts as up."""
        return self.health == "UP" and _CHECKED.match(self.last_check) is not None


@dataclass(frozen=True)
class Control:
    """The master's socket `path`; every call raises Unreachable when HAProxy does not answer there."""

    path: Path

    def ask(self, command: str) -> str:
        """Send a command and return the answer."""
        with self._connection() as connection:
            connection.sendall(command.encode() + b"\n")
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as answer:
                return answer.read().decode(errors="replace")

    def reload(self) -> None:
        """Have a new worker read every file; the old one serves its connections to their end. Raises SandboxError."""
        said = self.ask("reload")
        if not said.startswith("Success=1"):
            raise failure("the edge does not take its new configuration", said)

    def replace_map(self, path: str, text: str) -> None:
        """Replace the map that was read from `path` by the lines of `text`, all at once."""
        version = self._worker(f"prepare map {path}", "New version created").rpartition(":")[2].strip()
        for piece in _pieces(text.splitlines()):
            self._worker(f"add map @{version} {path} <<\n{piece}\n", "")
        self._worker(f"commit map @{version} {path}", "")

    def replace_certificate(self, path: str, pem: bytes) -> None:
        """Replace the certificate at `path` by `pem`, with its key and chain, for new connections."""
        text = "\n".join(line for line in pem.decode().splitlines() if line.strip())
        if len(text) > PAYLOAD:
            self.reload()
            return
        self._worker(f"set ssl cert {path} <<\n{text}\n", "ransaction")
        self._worker(f"commit ssl cert {path}", "Success")

    def servers(self) -> tuple[Server, ...]:
        rows = csv.DictReader(io.StringIO(self.ask("@1 show stat").lstrip("# ").strip()))
        return tuple(_server(row) for row in rows if row["svname"] not in {"FRONTEND", "BACKEND"})

    def trust(self, servers: Sequence[Server], *, healthy: bool) -> None:
        """Take servers as `healthy` without checking them, or check them again."""
        for one in servers:
            place = f"{one.backend}/{one.name}"
            for command in ("disable health", "set server") if healthy else ("enable health",):
                self.ask(f"@1 {command} {place}{' health up' if command.startswith('set') else ''}")

    def cut(self, servers: Sequence[Server]) -> None:
        """End the connections to servers, including those of workers from before reloads."""
        for worker in self.workers():
            for one in servers:
                self.ask(f"@!{worker} shutdown sessions server {one.backend}/{one.name}")

    def workers(self) -> tuple[int, ...]:
        """Return the processes that serve connections, the present one first."""
        lines = (line.split() for line in self.ask("show proc").splitlines())
        return tuple(int(words[0]) for words in lines if len(words) > 1 and words[1] == "worker")

    def _worker(self, command: str, expected: str) -> str:
        said = self.ask(f"@1 {command}").strip()
        if expected not in said if expected else said:
            brief = f"the edge refuses `{command.partition('<<')[0].strip()}`"
            raise SandboxError(brief, details=said[-2000:])
        return said

    @contextmanager
    def _connection(self) -> Iterator[socket.socket]:
        """Yield a connection to the socket, whose path may be longer than a socket's address can be."""
        try:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise Unreachable(str(error)) from error
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(TIMEOUT)
            try:
                connection.connect(_address(self.path, folder))
                yield connection
            except OSError as error:  # it may also hang, or end before it answers
                raise Unreachable(str(error)) from error
        finally:
            connection.close()
            os.close(folder)


def failure(brief: str, output: str) -> SandboxError:
    """Return the error for a HAProxy that does not start, by its output; `port-in-use` where a port is taken."""
    if taken := _TAKEN.search(output):
        port = int(taken[1].rpartition(":")[2])
        occupant = host_network.holder(port) or "another program, see `ss -ltnp`"
        return SandboxError(
            f"{taken[1]} is taken",
            details=f"held by {occupant}",
            fix="stop it, or use another port: edge: {ports: [PORT]} or registry: {port: PORT} in sandbox.yaml",
            id="port-in-use",
        )
    return SandboxError(brief, details=output.strip()[-2000:], id="stopped")


def _address(path: Path, folder: int) -> str:
    return f"/proc/self/fd/{folder}/{path.name}" if len(os.fsencode(path)) > 100 else str(path)


def _pieces(lines: Sequence[str]) -> Iterator[str]:
    piece: list[str] = []
    for line in lines:
        if piece and sum(map(len, piece)) + len(piece) + len(line) > PAYLOAD:
            yield "\n".join(piece)
            piece = []
        piece.append(line)
    if piece:
        yield "\n".join(piece)


def _server(row: Mapping[str, str]) -> Server:
    words = (row["check_status"], row["last_chk"])
    return Server(
        backend=row["pxname"],
        name=row["svname"],
        address=row["addr"],
        health=row["status"].partition(" ")[0],  # what follows counts the checks towards the other state
        last_check=" ".join(word for word in words if word),
        current=int(row["scur"] or 0),
        total=int(row["stot"] or 0),
        bytes_in=int(row["bin"] or 0),
        bytes_out=int(row["bout"] or 0),
    )
