"""A way to a cluster comes back whatever happens to it, and anyone who needs it meanwhile waits."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.components.certificates.authority import make_leaf
from sandbox.components.edge.relay import relay
from sandbox.components.edge.relay.port_forward import Forwards, Pace
from sandbox.components.edge.relay.relay import Direct, Forwarded
from sandbox.components.edge.relay.relay_server import Limits, RelayServer
from sandbox.components.edge.route import Route, Tunnel
from tests.support import client_hellos
from tests.support.ports import free_port
from tests.support.programs import make_program
from tests.support.tls import DOMAIN, NOW, make_pki, presenting

PACE = Pace(first=0.02, longest=0.1, patience=20.0, check=0.1, answer=1.0)


@pytest.fixture
def ingress(tmp_path: Path) -> Iterator[int]:
    """A TLS server; the port that it listens on."""
    leaf = make_leaf(make_pki(DOMAIN).issuing, (DOMAIN,), now=NOW)
    context = presenting(leaf, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, context), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            connection.settimeout(10)
            with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)


@pytest.fixture
def mood(tmp_path: Path) -> Path:
    """What the stand-in for kubectl does, in the place of a kubeconfig."""
    place = tmp_path / "kubeconfig"
    place.write_text("well")
    return place


@pytest.fixture
def upstream(mood: Path, tmp_path: Path, ingress: int) -> Forwarded:
    script = f'exec {sys.executable} {Path(__file__).with_name("kubectl.py")} "$@"'
    kubectl = make_program(tmp_path / "kubectl", script)
    return Forwarded(str(kubectl), str(mood), "sandbox-system", "deployment/traefik", ingress)


def during(upstream: Forwarded, scenario: Callable[[Forwards], Awaitable[None]], pace: Pace = PACE) -> None:
    async def run() -> None:
        forwards = Forwards(pace)
        forwards.follow([upstream, Direct("127.0.0.1")])
        try:
            async with asyncio.timeout(30):
                await scenario(forwards)
        finally:
            await forwards.stop()

    asyncio.run(run())


async def another(forwards: Forwards, upstream: Forwarded, before: int) -> int:
    """The port of the next forward after the one at `before`."""
    while (port := (await forwards.address(upstream))[1]) == before:
        await asyncio.sleep(0.01)
    return port


async def shakes_hands(port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.transport.abort()
    return True


def test_forward_reaches_the_pod_and_ends_with_its_keeper(upstream: Forwarded) -> None:
    ports: list[int] = []

    async def scenario(forwards: Forwards) -> None:
        _, port = await forwards.address(upstream)
        assert await shakes_hands(port)
        assert await forwards.is_sound(upstream)
        ports.append(port)

    during(upstream, scenario)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[0]), timeout=5)


@pytest.mark.fault(58)
def test_forward_is_restarted_when_the_pod_is_gone(upstream: Forwarded, mood: Path) -> None:
    """The pod behind a forwarded port goes → the next connection reaches the new one."""

    async def scenario(forwards: Forwards) -> None:
        _, before = await forwards.address(upstream)
        mood.write_text("another pod")
        assert await shakes_hands(await another(forwards, upstream, before))

    during(upstream, scenario)


@pytest.mark.fault(58)
def test_clients_wait_until_there_is_a_pod_again(upstream: Forwarded, mood: Path) -> None:
    """A client comes while there is no pod → it waits and is served."""
    mood.write_text("gone")

    async def scenario(forwards: Forwards) -> None:
        waiting = asyncio.create_task(forwards.address(upstream))
        await asyncio.sleep(0.3)  # several attempts
        assert not waiting.done()
        mood.write_text("well")
        assert await shakes_hands((await waiting)[1])

    during(upstream, scenario)


def test_clients_do_not_wait_for_ever(upstream: Forwarded, mood: Path) -> None:
    mood.write_text("gone")

    async def scenario(forwards: Forwards) -> None:
        with pytest.raises(TimeoutError):
            await forwards.address(upstream)

    during(upstream, scenario, Pace(first=0.02, longest=0.1, patience=0.1))


def test_forward_to_a_dead_pod_is_replaced(upstream: Forwarded, mood: Path) -> None:
    mood.write_text("hang")

    async def scenario(forwards: Forwards) -> None:
        _, before = await forwards.address(upstream)
        await another(forwards, upstream, before)

    during(upstream, scenario, Pace(first=0.02, longest=0.1, check=0.05, answer=0.2))


def test_connection_without_an_answer_is_checked_at_once(upstream: Forwarded, mood: Path) -> None:
    mood.write_text("hang")

    async def scenario(forwards: Forwards) -> None:
        _, before = await forwards.address(upstream)
        assert not await forwards.is_sound(upstream)
        await another(forwards, upstream, before)

    during(upstream, scenario, Pace(first=0.02, longest=0.1, check=1000.0, answer=0.2))


def test_a_kubectl_that_is_not_there_is_tried_again(upstream: Forwarded) -> None:
    kubectl = Path(upstream.kubectl)
    content = kubectl.read_text()
    kubectl.unlink()

    async def scenario(forwards: Forwards) -> None:
        waiting = asyncio.create_task(forwards.address(upstream))
        await asyncio.sleep(0.1)
        kubectl.write_text(content)
        kubectl.chmod(0o755)
        await waiting

    during(upstream, scenario)


def test_a_route_that_has_gone_is_not_waited_for(upstream: Forwarded) -> None:
    async def scenario(forwards: Forwards) -> None:
        await forwards.address(upstream)
        forwards.follow([])
        assert not await forwards.is_sound(upstream)
        with pytest.raises(ConnectionAbortedError):
            await forwards.address(upstream)

    during(upstream, scenario)


def test_forward_is_saved_in_a_route_and_read_back() -> None:
    one = Forwarded("/a folder/kubectl", "/b&c=d", "sandbox-system", "deployment/traefik", 8443)
    assert relay.parse(relay.write(one)) == one


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("node", Direct("node", 443)),
        ("192.168.49.2:8443", Direct("192.168.49.2", 8443)),
        ("[fd00::2]:443", Direct("fd00::2", 443)),
    ],
)
def test_an_address_may_name_its_port(text: str, found: Direct) -> None:
    assert relay.parse(text) == found


@pytest.mark.parametrize(
    "text", ["", ":443", "node:port", "node:70000", "port-forward:", "port-forward:?port=1", "port-forward:?a=b"]
)
def test_forward_without_a_target_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        relay.parse(text)


async def test_client_arriving_while_pod_ends_gets_the_next_pod(upstream: Forwarded, mood: Path) -> None:
    mood.write_text("hang")

    tested, port = (
        RelayServer(Forwards(Pace(first=0.02, longest=0.1, answer=0.2)), Limits(answer=0.2)),
        free_port(),
    )
    route = Route("a", DOMAIN, relay.write(upstream), (("127.0.0.1", port),), 1.0)
    assert await tested.follow([route]) == {}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = asyncio.create_task(asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=DOMAIN))
    await asyncio.sleep(0.5)
    assert not client.done()
    mood.write_text("well")
    _, writer = await client
    writer.transport.abort()
    await tested.stop(0.0)


async def test_connection_closed_by_the_server_is_not_retried(upstream: Forwarded) -> None:
    tested, port = RelayServer(Forwards(PACE)), free_port()
    route = Route("a", DOMAIN, relay.write(upstream), (("127.0.0.1", port),), 1.0)
    await tested.follow([route])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(client_hellos.records(client_hellos.message(DOMAIN.encode())))  # offers no cipher that there is
    async with asyncio.timeout(20):
        await reader.read()
    writer.close()
    await tested.stop(0.0)


async def test_unasked_server_is_entered_again_after_its_pod_has_gone(upstream: Forwarded, mood: Path) -> None:
    """A database that shuts out silent clients: nothing asks it, and who comes while it is away waits."""
    silent = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.read(100)
        silent.extend([] if said else ["a client that said nothing"])
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    there = replace(upstream, port=server.sockets[0].getsockname()[1], target="service/db", speaks=relay.ANY)
    assert relay.parse(relay.write(there)) == there
    tunnel, tested = Tunnel(free_port(), relay.write(there)), RelayServer(Forwards(PACE))
    await tested.follow([Route("a", "a.test", "nowhere", (), 1.0, tunnels=(tunnel,))])

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        writer.write(b"SELECT 1")
        try:
            return await reader.read()
        finally:
            writer.close()

    for before in ("well", "gone"):
        mood.write_text(before)
        await asyncio.sleep(0.3)
        waiting = asyncio.create_task(ask())
        await asyncio.sleep(0.2)
        mood.write_text("well")
        assert await waiting == b"SELECT 1"
    assert silent == []
    await tested.stop(0.0)
    server.close()


async def test_a_tunnel_waits_for_the_next_pod_and_loses_nothing(upstream: Forwarded, mood: Path) -> None:
    """A registry that speaks plain HTTP; its pod goes, and who comes meanwhile is answered by the next."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
            await writer.drain()
        writer.close()

    registry = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = registry.sockets[0].getsockname()[1]
    there = replace(upstream, port=port, target="deployment/registry", speaks="http")
    tunnel = Tunnel(free_port(), relay.write(there))
    tested = RelayServer(Forwards(PACE), Limits())
    await tested.follow([Route("a", "a.test", "nowhere", (), 1.0, tunnels=(tunnel,))])

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        writer.write(b"GET /v2/ HTTP/1.0\r\n\r\n")
        try:
            return await reader.read()
        finally:
            writer.close()

    assert (await ask()).startswith(b"HTTP/1.0 200")
    mood.write_text("gone")
    await asyncio.sleep(0.3)
    waiting = asyncio.create_task(ask())
    await asyncio.sleep(0.2)
    assert not waiting.done()
    mood.write_text("well")
    assert (await waiting).startswith(b"HTTP/1.0 200")
    await tested.stop(0.0)
    registry.close()
