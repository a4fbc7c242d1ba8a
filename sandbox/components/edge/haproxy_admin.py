"""Talks to a running HAProxy by the master's socket: reloads it, reads and sets the state of servers.

HAProxy's management guide, sections 9.3 (worker commands) and 9.4 (master CLI; `@1` is the present worker). There is no
socket where the engine is on another machine: sockets do not work in a folder that is shared with a virtual machine.
"""

import csv
import io
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.components.edge.haproxy import backend
from sandbox.components.edge.route import INGRESS, Host, Route
from sandbox.errors import SandboxError
from sandbox.system import host_network

TIMEOUT = 30.0
PASSED, ENDS = "passthrough", "terminate"  # the mode of a host: its TLS passes the edge, or ends there

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


@dataclass(frozen=True)
class Control:
    """The master's socket `path`; every call raises Unreachable when HAProxy does not answer there."""

    path: Path

    def ask(self, command: str) -> str:
        try:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(TIMEOUT)
                    # The path itself may be longer than a socket's address can be.
                    connection.connect(f"/proc/self/fd/{folder}/{self.path.name}")
                    connection.sendall(command.encode() + b"\n")
                    connection.shutdown(socket.SHUT_WR)
                    with connection.makefile("rb") as answer:
                        return answer.read().decode(errors="replace")
            finally:
                os.close(folder)
        except OSError as error:  # HAProxy may also hang, or end before it answers
            raise Unreachable(str(error)) from error

    def reload(self) -> None:
        """Have a new worker read every file; the old one serves its connections to their end. Raises SandboxError."""
        output = self.ask("reload")
        if not output.startswith("Success=1"):
            raise failure("the edge does not take its new configuration", output)

    def servers(self) -> tuple[Server, ...]:
        rows = csv.DictReader(io.StringIO(self.ask("@1 show stat").lstrip("# ").strip()))
        return tuple(
            Server(
                backend=row["pxname"],
                name=row["svname"],
                address=row["addr"],
                health=row["status"].partition(" ")[0],  # what follows counts the checks towards the other state
                last_check=f"{row['check_status']} {row['last_chk']}".strip(),
                current=int(row["scur"] or 0),
                total=int(row["stot"] or 0),
                bytes_in=int(row["bin"] or 0),
                bytes_out=int(row["bout"] or 0),
            )
            for row in rows
            if row["svname"] not in {"FRONTEND", "BACKEND"}
        )

    def workers(self) -> tuple[int, ...]:
        """Return the processes that serve connections, the present one first."""
        lines = (line.split() for line in self.ask("show proc").splitlines())
        return tuple(int(words[0]) for words in lines if len(words) > 1 and words[1] == "worker")


@dataclass(frozen=True)
class RouteStatus:
    """A host, or `*.domain` with the domain itself; `servers` are empty when HAProxy could not be asked.

    HAProxy counts by server, so hosts with the same server share its figures.
    """

    host: str
    sandbox: str
    mode: str
    upstreams: tuple[str, ...]
    servers: tuple[Server, ...]


def route_statuses(routes: Sequence[Route], servers: Sequence[Server]) -> tuple[RouteStatus, ...]:
    def servers_of(name: str) -> tuple[Server, ...]:
        return tuple(server for server in servers if server.backend == name)

    statuses = []
    for route in routes:
        nodes = ("the cluster's API server",) if route.forward(INGRESS) else route.nodes
        statuses.append(RouteStatus(f"*.{route.domain}", route.name, PASSED, nodes, servers_of(route.name)))
        inside = servers_of(backend(route, Host(route.domain, terminate=True)))
        statuses += [RouteStatus(f"*.{alias}", route.name, ENDS, route.nodes, inside) for alias in route.aliases]
        for host in route.every_host:
            mode, upstreams = (ENDS if host.terminate else PASSED), ((host.to,) if host.to else route.nodes)
            own = servers_of(backend(route, host))
            statuses.append(RouteStatus(host.host, route.name, mode, upstreams, own))
    return tuple(statuses)


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
