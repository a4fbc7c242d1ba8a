"""What clients of the edge may rely on."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from sandbox.components.edge.route import Route
from sandbox.system.wait import wait_until
from tests.contract import edges
from tests.contract.edges import Edge, Server, call, client_hello, read_all

DOMAINS = {"a": "a.test", "deep": "deep.a.test", "b": "b.test"}


pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with edges.container(tmp_path_factory.mktemp("edge")) as made:
        yield made


@pytest.fixture(scope="module")
def servers(edge: Edge) -> Iterator[dict[str, Server]]:
    """Three sandboxes, the domain of one inside another's; the last is the newest."""
    with contextlib.ExitStack() as stack:
        made = {name: stack.enter_context(Server(edge.gateway, name)) for name in DOMAINS}
        follow(edge, made)
        yield made


def follow(edge: Edge, servers: dict[str, Server]) -> None:
    edge.follow(
        [
            Route(name, domain, servers[name].upstream, (("127.0.0.1", edge.port),), float(since))
            for since, (name, domain) in enumerate(DOMAINS.items())
        ]
    )
    for name, domain in DOMAINS.items():
        wait_until(partial(silence, edge, domain, name), what=domain, timeout=20)


def silence(edge: Edge, host: str, name: str) -> str | None:
    """Return None once `host` leads to `name`; an edge may take a moment to hear of it."""
    try:
        answered = who(edge, host)
    except OSError as error:
        return str(error)
    return None if answered == name else answered


def who(edge: Edge, host: str | None) -> str:
    """Which server answers for `host`; empty when none does."""
    return read_all(call(edge.port, host, "NAME")).decode().partition(" ")[0]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a.test", "a"),
        ("x.a.test", "a"),
        ("x.y.a.test", "a"),
        ("A.Test", "a"),
        ("deep.a.test", "deep"),
        ("x.deep.a.test", "deep"),
        ("verydeep.a.test", "a"),
        ("b.test", "b"),
        ("x.b.test", "b"),
    ],
)
def test_name_routes_to_its_sandbox(edge: Edge, servers: dict[str, Server], host: str, name: str) -> None:
    assert who(edge, host) == name


@pytest.mark.parametrize("host", ["elsewhere.test", "ab.test", "test", None])
def test_local_client_of_an_unknown_name_gets_newest_sandbox(
    edge: Edge, servers: dict[str, Server], host: str | None
) -> None:
    assert who(edge, host) == "b"


def test_the_server_learns_who_its_client_is(edge: Edge, servers: dict[str, Server]) -> None:
    seen = read_all(call(edge.port, "a.test", "NAME")).decode().split()[1]
    assert seen in ("127.0.0.1", edge.gateway)


def test_a_long_hello_in_many_pieces_is_understood(edge: Edge, servers: dict[str, Server]) -> None:
    hello = client_hello("deep.a.test", ["x" * 250] * 12)
    with socket.create_connection(("127.0.0.1", edge.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(hello), 500):
            connection.sendall(hello[start : start + 500])
        connection.sendall(b"NAME\n")
        assert connection.recv(100).startswith(b"deep ")


def test_each_direction_ends_by_itself(edge: Edge, servers: dict[str, Server]) -> None:
    connection = call(edge.port, "a.test", "ECHO")
    connection.sendall(b"some words")
    connection.shutdown(socket.SHUT_WR)
    assert read_all(connection) == b"some wordsend"


def test_silent_client_is_disconnected(edge: Edge, servers: dict[str, Server]) -> None:
    with socket.create_connection(("127.0.0.1", edge.port), timeout=30) as half_open:
        half_open.sendall(client_hello("a.test")[:50])
        assert read_all(half_open) == b""
