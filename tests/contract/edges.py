"""Both kinds of edge over servers of the test's own, so that one test says what either has to do."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sandbox.bundle.recipe import recipes
from sandbox.components.edge import haproxy, routes
from sandbox.components.edge.haproxy import RUN, SOCKET
from sandbox.components.edge.haproxy_admin import Control
from sandbox.components.edge.relay import relay
from sandbox.components.edge.route import Route
from sandbox.engine import Engine
from sandbox.system import daemon, files
from sandbox.system.wait import wait_until
from tests.support import client_hellos
from tests.support.bundled import engine_with
from tests.support.ports import free_port

IMAGE = recipes()["haproxy"].reference
PIECE = bytes(range(256)) * 256
LOCAL = "127.0.0.1"
# The relay, which looks for routes more often and gives clients less time to say whom they want.
QUICK = """
from dataclasses import replace
from sandbox.components.edge.relay import relay_process
limits = relay_process.limits
relay_process.limits = lambda: replace(limits(), handshake={handshake})
relay_process.POLL = 0.02
relay_process.main()
"""


class Edge(Protocol):
    """An edge on `port` of 127.0.0.1; `gateway` is the address at which it reaches this machine."""

    port: int
    gateway: str

    def follow(self, known: Sequence[Route]) -> None:
        """Route by these from now on."""


@dataclass
class ProcessEdge:
    """The relay in a process of its own."""

    folder: Path
    port: int
    gateway: str = LOCAL

    def follow(self, known: Sequence[Route]) -> None:
        for gone in {route.name for route in routes.load(self.folder)} - {route.name for route in known}:
            routes.remove(self.folder, gone)
        for route in known:
            routes.save(self.folder, route)
        wait_until(self._behind, what="the relay", timeout=20, pause=0.02)

    def _behind(self) -> str | None:
        state = relay.running(self.folder)
        if state is not None and state.routes == relay.digest(routes.load(self.folder)):
            return None
        return relay.log(self.folder).read_text()


@contextmanager
def process(folder: Path, *, handshake: float = 1.0) -> Iterator[Edge]:
    """A relay that ends with the block, and gives clients so many seconds to say whom they want."""
    files.make_private_dir(folder)
    record = relay.record(folder)
    code = QUICK.format(handshake=handshake)
    daemon.start((sys.executable, "-c", code, str(folder)), log_to=relay.log(folder), record=record)
    try:
        yield ProcessEdge(folder, free_port())
    finally:
        daemon.end(record)


@dataclass
class ContainerEdge:
    """HAProxy in a container, with the configuration that the sandbox writes."""

    folder: Path
    port: int
    gateway: str

    @property
    def control(self) -> Control:
        return Control(self.folder / "run" / SOCKET)

    def follow(self, known: Sequence[Route]) -> None:
        for name, text in haproxy.render(known).items():
            self.folder.joinpath(name).write_text(text)
        self.control.reload()


@contextmanager
def container(folder: Path) -> Iterator[Edge]:
    """A container that ends with the block, on a network of its own."""
    engine = _engine()
    client = engine._client
    folder.chmod(0o755)
    for name, text in haproxy.render([]).items():
        folder.joinpath(name).write_text(text)
    folder.joinpath("run").mkdir()
    name, port = f"sandbox-test-{uuid.uuid4().hex[:8]}", free_port()
    network = client.networks.create(name, driver="bridge")
    try:
        box = client.containers.create(
            IMAGE,
            entrypoint=[*haproxy.COMMAND, "-S", f"{RUN}/{SOCKET},mode,600"],
            user=f"{os.getuid()}:{os.getgid()}",
            name=name,
            network=name,
            ports={f"{haproxy.PORT}/tcp": (LOCAL, port)},
            volumes={
                str(folder): {"bind": haproxy.FOLDER, "mode": "ro"},
                str(folder / "run"): {"bind": RUN, "mode": "rw"},
            },
            init=True,
        )
        try:
            box.start()
            network.reload()
            made = ContainerEdge(folder, port, network.attrs["IPAM"]["Config"][0]["Gateway"])
            wait_until(lambda: _silent(made.control, box), what="HAProxy", timeout=30, pause=0.05)
            yield made
        finally:
            box.remove(force=True)
    finally:
        network.remove()


def _silent(control: Control, box: Any) -> str | None:
    """None once HAProxy can be told to load another configuration."""
    with contextlib.suppress(OSError):
        if control.workers():
            return None
    return str(box.logs().decode(errors="replace"))


def _engine() -> Engine:
    return engine_with("haproxy")


class Server:
    """Speaks to anyone who comes with a PROXY header and a ClientHello, and then does what a line tells it.

    `NAME` says its name and the client's address, `ECHO` sends back what comes until its end and then `end`, `SEND N`
    sends N pieces, `HANG` does nothing until the client leaves, which sets `left`.
    """

    def __init__(self, address: str, name: str) -> None:
        self.name = name
        self.left = threading.Event()
        self._listener = socket.create_server((address, 0), backlog=512)
        self.upstream = f"{address}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Server:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._speak, args=(connection,), daemon=True).start()

    def _speak(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming, contextlib.suppress(OSError):
            head = incoming.read(16)  # nothing, when it is only looked whether anybody listens
            if len(head) < 16:
                return
            client = incoming.read(int.from_bytes(head[14:]))
            length = int.from_bytes(incoming.read(5)[3:])
            incoming.read(length)
            match incoming.readline().split():
                case [b"NAME"]:
                    connection.sendall(f"{self.name} {socket.inet_ntoa(client[:4])}".encode())
                case [b"ECHO"]:
                    while data := incoming.read1(1 << 16):
                        connection.sendall(data)
                    connection.sendall(b"end")
                case [b"SEND", count]:
                    for _ in range(int(count)):
                        connection.sendall(PIECE)
                case [b"HANG"]:
                    incoming.read()
                    self.left.set()


def call(port: int, host: str | None, command: str, *, address: str = LOCAL) -> socket.socket:
    """A connection on which a ClientHello for `host` and a command have been sent."""
    connection = socket.create_connection((address, port), timeout=30)
    connection.sendall(client_hellos.of_openssl(host) + f"{command}\n".encode())
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side ends, or breaks off."""
    found = bytearray()
    with connection, contextlib.suppress(ConnectionError):
        while data := connection.recv(1 << 16):
            found += data
    return bytes(found)
