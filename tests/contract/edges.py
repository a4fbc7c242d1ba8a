"""The edge over servers of the test's own."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.bundle.recipe import recipes
from sandbox.components.edge import haproxy, listening
from sandbox.components.edge.haproxy import RUN, SOCKET
from sandbox.components.edge.haproxy_admin import Control
from sandbox.components.edge.listening import Place
from sandbox.components.edge.route import Route
from sandbox.engine import Engine
from sandbox.system.wait import wait_until
from tests.support.bundled import engine_with
from tests.support.ports import free_port

IMAGE = recipes()["haproxy"].reference
LOCAL = "127.0.0.1"
PUBLISHED = Place(host=False)


@dataclass
class Edge:
    """HAProxy on `port` of 127.0.0.1, with the configuration that the sandbox writes.

    `gateway` is the address at which it reaches this machine.
    """

    folder: Path
    port: int
    gateway: str

    @property
    def control(self) -> Control:
        return Control(self.folder / "run" / SOCKET)

    def follow(self, known: Sequence[Route]) -> None:
        for name, text in haproxy.render(known, (), PUBLISHED).items():
            self.folder.joinpath(name).write_text(text)
        self.control.reload()


@contextmanager
def container(folder: Path) -> Iterator[Edge]:
    client = _engine()._client
    folder.chmod(0o755)
    port = free_port()
    first = Route("first", "first.test", "127.0.0.1:1", ((LOCAL, port),))
    for name, text in haproxy.render([first], (), PUBLISHED).items():
        folder.joinpath(name).write_text(text)
    folder.joinpath("run").mkdir()
    name = f"sandbox-test-{uuid.uuid4().hex[:8]}"
    network = client.networks.create(name, driver="bridge")
    try:
        box = client.containers.create(
            IMAGE,
            entrypoint=[*haproxy.COMMAND, "-S", f"{RUN}/{SOCKET},mode,600"],
            user=f"{os.getuid()}:{os.getgid()}",
            name=name,
            network=name,
            ports={f"{listening.PORT}/tcp": (LOCAL, port)},
            volumes={
                str(folder): {"bind": haproxy.FOLDER, "mode": "ro"},
                str(folder / "run"): {"bind": RUN, "mode": "rw"},
            },
            init=True,
        )
        try:
            box.start()
            network.reload()
            made = Edge(folder, port, network.attrs["IPAM"]["Config"][0]["Gateway"])
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

    `NAME` says its name and the client's address, `ECHO` sends back what comes until its end and then `end`.
    """

    def __init__(self, address: str, name: str) -> None:
        self.name = name
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


def client_hello(host: str | None, protocols: Sequence[str] = ()) -> bytes:
    """Return the first bytes that a client of `host` sends; `protocols` (ALPN) make them longer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def call(port: int, host: str | None, command: str) -> socket.socket:
    """Return a connection on which a ClientHello for `host` and a command have been sent."""
    connection = socket.create_connection((LOCAL, port), timeout=30)
    connection.sendall(client_hello(host) + f"{command}\n".encode())
    return connection


def read_all(connection: socket.socket) -> bytes:
    received = bytearray()
    with connection, contextlib.suppress(ConnectionError):
        while data := connection.recv(1 << 16):
            received += data
    return bytes(received)
