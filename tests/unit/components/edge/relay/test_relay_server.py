"""The relay's limits, which the contract that it shares with the other edge says nothing of."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.components.edge.relay import relay_connection, relay_process, relay_server
from sandbox.components.edge.relay.port_forward import Forwards
from sandbox.components.edge.relay.relay_server import Limits, RelayServer
from sandbox.components.edge.route import Route, Tunnel
from tests.contract import edges
from tests.contract.edges import Edge
from tests.support import client_hellos
from tests.support.ports import free_port

LOCAL = "127.0.0.1"
Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]


@contextmanager
def leaving(writer: StreamWriter) -> Iterator[None]:
    """Close a server's connection at the end of the block, which the other side or the test may bring about."""
    try:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            yield
    finally:
        writer.close()


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    """Leave out the PROXY header and the ClientHello, and send back the rest."""
    with leaving(writer):
        head = await reader.readexactly(16)
        await reader.readexactly(int.from_bytes(head[14:]))
        await reader.readexactly(int.from_bytes((await reader.readexactly(5))[3:]))
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


async def keep_talking(reader: StreamReader, writer: StreamWriter) -> None:
    with leaving(writer):
        while True:
            writer.write(b"word")
            await writer.drain()
            await asyncio.sleep(0.02)


@asynccontextmanager
async def passing(limits: Limits, serve: Serve = echo, address: str = LOCAL) -> AsyncIterator[tuple[RelayServer, int]]:
    server = await asyncio.start_server(serve, LOCAL, 0)
    tested, port = RelayServer(Forwards(), limits), free_port()
    upstream = f"localhost:{server.sockets[0].getsockname()[1]}"
    trouble = await tested.follow([Route("a", "a.test", upstream, ((address, port),), 1.0)])
    assert trouble == {}
    try:
        yield tested, port
    finally:
        await tested.stop(0.0)
        server.close()
        await cancel_others()


async def cancel_others() -> None:
    """Let everything that is under way end, and its sockets be closed."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for _ in range(3):  # a transport that is closed lets go of its socket in the loop's next round
        await asyncio.sleep(0)


async def connect(port: int, address: str = LOCAL, host: str = "a.test") -> tuple[StreamReader, StreamWriter]:
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(client_hellos.of_openssl(host))
    return reader, writer


async def ended(reader: StreamReader) -> bool:
    with contextlib.suppress(ConnectionError):
        await reader.read()
    return True


async def test_both_loopback_addresses_are_listened_on() -> None:
    async with passing(Limits()) as (tested, port):
        assert tested.listening == {(LOCAL, port), ("::1", port)}
        for address in (LOCAL, "::1"):
            reader, writer = await connect(port, address)
            writer.write(b"here")
            assert await reader.readexactly(4) == b"here"
            writer.close()


async def test_unavailable_port_is_reported_and_others_are_served() -> None:
    with socket.create_server((LOCAL, 0)) as taken:
        async with passing(Limits()) as (tested, port):
            busy = taken.getsockname()
            route = Route("a", "a.test", "node", (busy, (LOCAL, port)), 1.0)
            assert await tested.follow([route]) == {busy: "Address already in use"}
            assert (LOCAL, port) in tested.listening


async def test_unused_port_is_released() -> None:
    async with passing(Limits()) as (tested, port):
        reader, writer = await connect(port)
        writer.write(b"1")
        assert await reader.readexactly(1) == b"1"
        await tested.follow([])
        assert tested.listening == set()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOCAL, port)
        writer.write(b"2")  # what is under way goes on
        assert await reader.readexactly(1) == b"2"
        writer.close()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"])
async def test_client_that_sends_no_hello_is_disconnected(said: bytes) -> None:
    async with passing(Limits(handshake=0.1)) as (_, port):
        reader, writer = await asyncio.open_connection(LOCAL, port)
        writer.write(said)
        assert await ended(reader)
        writer.close()


async def test_a_connection_that_is_silent_for_too_long_is_ended() -> None:
    async with passing(Limits(idle=0.2)) as (_, port):
        reader, writer = await connect(port)
        assert await ended(reader)
        writer.close()


async def test_half_open_connection_is_closed_soon() -> None:
    async def silent(reader: StreamReader, writer: StreamWriter) -> None:
        with leaving(writer):
            await reader.read()
            await asyncio.sleep(30)

    async with passing(Limits(half_closed=0.2), silent) as (_, port):
        reader, writer = await connect(port)
        writer.write_eof()
        assert await ended(reader)
        writer.close()


async def test_half_open_connection_with_traffic_is_kept() -> None:
    async with passing(Limits(half_closed=1.0), keep_talking) as (_, port):
        reader, writer = await connect(port)
        writer.write_eof()
        assert len(await reader.readexactly(240)) == 240
        writer.close()


async def test_no_more_connections_are_taken_than_allowed() -> None:
    async with passing(Limits(connections=2)) as (_, port):
        first = [await connect(port) for _ in range(2)]
        for reader, writer in first:
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
        reader, writer = await connect(port)
        assert await ended(reader)
        writer.close()
        first.pop()[1].close()
        while True:  # the place is free as soon as its end has come through
            reader, writer = await connect(port)
            writer.write(b"y")
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                assert await reader.readexactly(1) == b"y"
                break
        writer.close()
        first.pop()[1].close()


async def test_silent_server_is_retried_and_then_given_up() -> None:
    async with passing(Limits(attempts=3)) as (tested, port):
        late = free_port()
        route = Route("a", "a.test", f"{LOCAL}:{late}", ((LOCAL, port),), 1.0)
        await tested.follow([route])
        reader, writer = await connect(port)
        server = await asyncio.start_server(echo, LOCAL, late)
        writer.write(b"late")
        assert await reader.readexactly(4) == b"late"
        writer.close()
        server.close()
        await tested.follow([replace(route, upstream=f"{LOCAL}:{free_port()}")])
        reader, writer = await connect(port)
        assert await ended(reader)
        writer.close()


async def test_a_stop_lets_what_is_under_way_end_and_then_ends_it() -> None:
    async with passing(Limits()) as (tested, port):
        reader, writer = await connect(port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        stopping = asyncio.create_task(tested.stop(20.0))
        await asyncio.sleep(0.05)
        writer.write(b"y")
        assert await reader.readexactly(1) == b"y"
        writer.close()
        await stopping


@pytest.mark.parametrize("many", [1500, pytest.param(5000, marks=[pytest.mark.real, pytest.mark.nightly])])
def test_thousands_of_concurrent_connections_are_served(tmp_path: Path, many: int) -> None:
    """Each takes two files, and a process may open 1024 at first."""

    async def run(edge: Edge) -> None:
        server = await asyncio.start_server(echo, LOCAL, 0, backlog=1024)
        upstream = f"{LOCAL}:{server.sockets[0].getsockname()[1]}"
        edge.follow([Route("a", "a.test", upstream, ((LOCAL, edge.port),), 1.0)])
        made: list[tuple[StreamReader, StreamWriter]] = []
        for _ in range(0, many, 100):
            made += await asyncio.gather(*(connect(edge.port) for _ in range(100)))
            # Anyone who has an answer has been taken in: no more than these are waiting.
            for _, writer in made[-100:]:
                writer.write(b"x")
            for reader, _ in made[-100:]:
                assert await reader.readexactly(1) == b"x"
        for index, (_, writer) in enumerate(made):
            writer.write(struct.pack("!I", index))
        for index, (reader, _) in enumerate(made):
            assert await reader.readexactly(4) == struct.pack("!I", index)
        for _, writer in made:
            writer.close()
        server.close()
        await cancel_others()

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert relay_process.limits().connections >= many
    try:
        with edges.process(tmp_path / "edge", handshake=60.0) as edge:  # a hundred at once, on a machine that is busy
            asyncio.run(run(edge))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


ROUTES = [Route(name, f"{name}.test", "node", (), since) for since, name in enumerate(("a", "b"), 1)]


@pytest.mark.parametrize("host", ["elsewhere.test", None, "test", "aa.test"])
def test_others_get_nothing_for_a_name_that_is_not_known(host: str | None) -> None:
    assert relay_server.find_route(ROUTES, host, local=False) is None
    assert relay_server.find_route(ROUTES, host, local=True) == ROUTES[-1]
    assert relay_server.find_route([], host, local=True) is None


def test_others_get_what_they_ask_for_by_name() -> None:
    assert relay_server.find_route(ROUTES, "x.a.test", local=False) == ROUTES[0]


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_local_clients_are_distinguished_from_others(address: str, local: bool) -> None:
    assert relay_server.is_local(address) is local


def test_the_header_says_who_the_client_is() -> None:
    start = b"\r\n\r\n\0\r\nQUIT\n"
    four = relay_connection.proxy_header(("127.0.0.1", 4660), ("127.0.0.2", 443))
    assert four == start + bytes.fromhex("2111000c 7f000001 7f000002 1234 01bb")
    six = relay_connection.proxy_header(("::1", 4660, 0, 0), ("fe80::1%eth0", 443, 0, 2))
    assert six == start + bytes.fromhex("21210024") + bytes(15) + b"\1" + bytes.fromhex(
        "fe80000000000000 0000000000000001 1234 01bb"
    )
    assert relay_connection.proxy_header(("::1", 1), ("127.0.0.1", 2)) == start + bytes.fromhex("20000000")
    assert relay_connection.proxy_header(("", 1), ("127.0.0.1", 2)) == start + bytes.fromhex("20000000")


def test_relay_starts_in_any_folder() -> None:
    assert relay_process.argv(Path("/x"))[1:] == ("-P", "-m", "sandbox.components.edge.relay.relay_process", "/x")


async def test_tunnel_relays_any_bytes_to_its_server(tmp_path: Path) -> None:
    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        with leaving(writer):
            while data := await reader.read(1 << 16):
                writer.write(data.upper())
                await writer.drain()

    server = await asyncio.start_server(answer, LOCAL, 0)
    tunnel = Tunnel(free_port(), f"{LOCAL}:{server.sockets[0].getsockname()[1]}")
    tested = RelayServer(Forwards(), Limits())
    route = Route("a", "a.test", "nowhere", (), 1.0, tunnels=(tunnel,))
    assert await tested.follow([route]) == {}
    assert tested.listening == {(LOCAL, tunnel.port), ("::1", tunnel.port)}
    for address in (LOCAL, "::1"):
        reader, writer = await asyncio.open_connection(address, tunnel.port)
        writer.write(b"get /v2/")
        assert await reader.readexactly(8) == b"GET /V2/"
        writer.close()
    await tested.follow([])
    assert tested.listening == frozenset()
    await tested.stop(0.0)
    server.close()
    await cancel_others()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
@pytest.mark.security(17)
async def test_a_tunnel_serves_its_own_user_alone() -> None:
    """Another user of the machine connects to the tunnel of a team's registry → the connection ends; ours is served."""
    seen = []

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        with leaving(writer):
            while data := await reader.read(1 << 16):
                seen.append(data)
                writer.write(data)
                await writer.drain()

    server = await asyncio.start_server(answer, LOCAL, 0)
    tunnel = Tunnel(free_port(), f"{LOCAL}:{server.sockets[0].getsockname()[1]}")
    tested = RelayServer(Forwards(), Limits())
    await tested.follow([Route("a", "a.test", "nowhere", (), 1.0, tunnels=(tunnel,))])
    script = f"exec 3<>/dev/tcp/{LOCAL}/{tunnel.port}; echo PUT >&3; read -r -t 20 answer <&3; echo got $answer"
    for uid, said in ((65534, b"got\n"), (0, b"got PUT\n")):
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", script, user=uid, group=uid, extra_groups=[], cwd="/", stdout=asyncio.subprocess.PIPE
        )
        assert (await process.communicate())[0] == said
    assert seen == [b"PUT\n"]
    await tested.follow([])
    await tested.stop(0.0)
    server.close()
    await cancel_others()
