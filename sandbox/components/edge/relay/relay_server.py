"""The edge without a container: an asyncio relay that routes TLS connections by the server name they ask for."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sandbox.components.edge.relay import relay
from sandbox.components.edge.relay.client_hello import ClientHello, NotTls, Reader
from sandbox.components.edge.relay.port_forward import Forwards
from sandbox.components.edge.relay.relay import ANY, Direct, Forwarded, Listener, Upstream
from sandbox.components.edge.relay.relay_connection import CHUNK, Connection, Ends, Peer, proxy_header
from sandbox.components.edge.route import Route
from sandbox.system import host_network

log = logging.getLogger(__name__)

BACKLOG = 1024
BUFFER = 64 << 10  # bytes that are buffered in one direction before the sender has to wait
SETTLED = 0.05  # seconds after which a forward that did not end counts as one that leads to a server
TWINS = {"127.0.0.1": "::1", "0.0.0.0": "::"}  # noqa: S104  # the same in IPv6, where there is IPv6


@dataclass(frozen=True)
class Limits:
    """Limits of the relay, in seconds and connections."""

    handshake: float = 5.0
    connect: float = 3.0
    answer: float = 30.0
    attempts: int = 4
    idle: float = 24 * 3600.0
    half_closed: float = 30.0
    connections: int = 8192


class RelayServer:
    """Listeners and connections; `follow` sets the routes and where it listens."""

    def __init__(self, forwards: Forwards, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._forwards = forwards
        self._routes: tuple[Route, ...] = ()
        self._tunnels: dict[Listener, Upstream] = {}
        self._listeners: dict[Listener, asyncio.Server] = {}
        self._connections: dict[Connection, asyncio.Task[None] | None] = {}
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def listening(self) -> frozenset[Listener]:
        """Return the addresses and ports on which connections are accepted."""
        return frozenset(self._listeners)

    async def follow(self, routes: Sequence[Route]) -> Mapping[Listener, str]:
        """Route by these, oldest first, and listen where they ask for it; returns the reasons where that fails.

        Open connections stay as they are.
        """
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep())
        self._routes = tuple(routes)
        tunnels = [(one, relay.parse(one.upstream)) for route in routes for one in route.tunnels]
        self._tunnels = {(TWINS.get(one.address, one.address), one.port): upstream for one, upstream in tunnels}
        self._tunnels |= {(one.address, one.port): upstream for one, upstream in tunnels}
        ingresses = [relay.parse(route.upstream) for route in routes]
        self._forwards.follow([*ingresses, *self._tunnels.values()])
        wanted = {listener for route in routes for listener in route.takes}
        twins = {(TWINS[address], port) for address, port in wanted if address in TWINS} - wanted
        for listener in self._listeners.keys() - wanted - twins:
            self._listeners.pop(listener).close()
        trouble = {}
        for listener in sorted((wanted | twins) - self._listeners.keys()):
            try:
                self._listeners[listener] = await self._listen(*listener)
            except OSError as error:
                if listener in wanted:
                    trouble[listener] = os.strerror(error.errno) if error.errno else str(error)
        return trouble

    async def stop(self, grace: float) -> None:
        """Accept nothing more, give open connections so many seconds to end, then end them."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        deadline = time.monotonic() + grace
        while self._connections and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        while self._connections:
            for task in self._connections.values():
                if task:
                    task.cancel()
            await asyncio.sleep(0)
        if self._sweeper:
            self._sweeper.cancel()
        await self._forwards.stop()

    async def _listen(self, address: str, port: int) -> asyncio.Server:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        plain = socket.create_server((address, port), family=family, backlog=BACKLOG)  # not dual-stack
        return await asyncio.start_server(self._accept, sock=plain, limit=BUFFER, backlog=BACKLOG)

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        connection = Connection(Ends(reader, writer))
        if len(self._connections) >= self._limits.connections:
            connection.abort()
            return
        self._connections[connection] = asyncio.current_task()
        try:
            await self._serve(connection)
        except (NotTls, OSError, ValueError) as error:  # TimeoutError is an OSError
            log.debug("%s: %s", writer.get_extra_info("peername"), error)
        except asyncio.CancelledError:
            connection.abort()
        finally:
            del self._connections[connection]
            writer.close()

    async def _serve(self, connection: Connection) -> None:
        source, destination = map(connection.client.writer.get_extra_info, ("peername", "sockname"))
        if tunnel := self._tunnels.get(destination[:2]):
            await self._serve_tunnel(connection, tunnel, source, destination)
        else:
            await self._serve_host(connection, source, destination)

    async def _serve_tunnel(self, connection: Connection, tunnel: Upstream, source: Peer, destination: Peer) -> None:
        # The registry accepts pushes without an account, and every user of the machine reaches the loopback.
        own = not (isinstance(tunnel, Forwarded) and tunnel.speaks == ANY)
        if own and not host_network.is_peer_ours(os.getuid(), source, destination):
            connection.abort()
        else:
            await connection.run(await self._enter(tunnel))

    async def _serve_host(self, connection: Connection, source: Peer, destination: Peer) -> None:
        async with asyncio.timeout(self._limits.handshake):
            hello, raw = await _hello(connection.client.reader)
        route = find_route(self._routes, hello.host, local=is_local(source[0]))
        if route is None:
            return
        upstream = relay.parse(route.upstream)
        if isinstance(upstream, Direct):
            server = await self._connect(upstream.host, upstream.port, self._limits.attempts)
            header = b"" if upstream.plain else proxy_header(source, destination)
            server.writer.write(header + raw)
        else:
            server = await self._ask(upstream, raw, connection.client.writer)
        await connection.run(server)

    async def _enter(self, upstream: Upstream) -> Ends:
        """Connect to the far end of a tunnel after testing it: what is sent into a dead one would be lost."""
        if isinstance(upstream, Direct):
            return await self._connect(upstream.host, upstream.port, self._limits.attempts)
        if upstream.speaks == ANY:
            return await self._enter_unasked(upstream)
        while True:
            address = await self._forwards.address(upstream)
            if await self._forwards.is_sound(upstream):
                return await self._connect(*address, attempts=1)

    async def _enter_unasked(self, upstream: Forwarded) -> Ends:
        """Connect to a server that is not tested first: kubectl accepts, and at once closes what leads nowhere."""
        for attempt in range(1, self._limits.attempts + 1):
            server = await self._connect(*await self._forwards.address(upstream), attempts=1)
            await asyncio.sleep(SETTLED)
            if not server.reader.at_eof():
                return server
            server.writer.transport.abort()
            await asyncio.sleep(SETTLED * 2**attempt)
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"{upstream.target} does not answer")

    async def _ask(self, upstream: Forwarded, raw: bytes, client: StreamWriter) -> Ends:
        """Open a connection through a port-forward that answered the ClientHello; the client got the first bytes.

        Until then the client has seen nothing, and can be given a connection to the next pod when the present one has
        just gone. Raises ConnectionResetError when the forward works and yet no server answers.
        """
        while True:
            address = await self._forwards.address(upstream)
            with contextlib.suppress(OSError):
                server = await self._connect(*address, attempts=1)
                answer = b""
                try:
                    server.writer.write(raw)
                    async with asyncio.timeout(self._limits.answer):
                        answer = await server.reader.read(CHUNK)
                finally:
                    if not answer:
                        server.writer.transport.abort()
                if answer:
                    client.write(answer)
                    return server
            if await self._forwards.is_sound(upstream):
                raise ConnectionResetError(errno.ECONNRESET, f"{upstream.target} ended the connection")

    async def _connect(self, host: str, port: int, attempts: int) -> Ends:
        """Connect, to an IPv4 address if there is one: a node's host ports do not answer on its IPv6 addresses."""
        loop = asyncio.get_running_loop()
        for attempt in range(1, attempts + 1):
            with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                async with asyncio.timeout(self._limits.connect):
                    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
                    return Ends(*await asyncio.open_connection(*address[:2], family=family, limit=BUFFER))
            if attempt < attempts:
                await asyncio.sleep(0.25 * attempt)  # the server may just be restarting
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"{host}:{port} does not answer")

    async def _sweep(self) -> None:
        limits = self._limits
        while True:
            await asyncio.sleep(min(limits.idle, limits.half_closed) / 4)
            now = time.monotonic()
            for connection in list(self._connections):
                if connection.is_expired(now, idle=limits.idle, half_closed=limits.half_closed):
                    connection.abort()


async def _hello(reader: StreamReader) -> tuple[ClientHello, bytes]:
    """Return the client's first message, and every byte that came with it; raises NotTls."""
    parser = Reader()
    while data := await reader.read(CHUNK):
        hello = parser.feed(data)
        if hello is not None:
            return hello, bytes(parser.raw)
    raise NotTls("nothing more comes")


def find_route(routes: Sequence[Route], host: str | None, *, local: bool) -> Route | None:
    """Return the route for `host`; `routes` are oldest first.

    A client that asks for no known host gets the newest sandbox, whose page lists the hosts there are; but only from
    this machine (`local`), since the page is not for others.
    """
    candidate = host or ""
    known = {route.domain: route for route in routes}
    while candidate:
        if candidate in known:
            return known[candidate]
        candidate = candidate.partition(".")[2]
    return routes[-1] if routes and local else None


def is_local(address: str) -> bool:
    """Tell whether a client's address is one of this machine's loopback interface."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
