"""Connections to this machine: kept, given up when they broke, and led past what only passes bytes on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress

import pytest

from sandbox.oci import loopback_http
from sandbox.oci.address import Address, parse
from sandbox.oci.client import Client
from sandbox.oci.connections import Connections
from sandbox.oci.http_response import Broken, Response
from sandbox.oci.loopback_http import Shortcut
from sandbox.oci.manifest import OCI_LAYER, Descriptor
from sandbox.oci.oci_errors import RegistryError
from tests.support.images import digest_of
from tests.support.registry_simulator import Simulator

HERE = "127.0.0.1"
ELSEWHERE = "192.0.2.1"  # of no machine (RFC 5737)
DATA = b"x" * 3_000_000
BLOB = Descriptor(OCI_LAYER, digest_of(DATA), len(DATA))
KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def serving(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a server that gives each connection one of the answers and closes it, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server((HERE, 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    asked.append(connection.recv(1 << 16))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://{HERE}:{server.getsockname()[1]}", asked
        thread.join(10)


@contextmanager
def connected(url: str) -> Iterator[Callable[[str], Response]]:
    """What asks a server by one and the same connections."""
    connections = Connections(parse(url))
    with closing(connections):
        yield lambda path: connections.request("GET", url + path, {})


def test_a_connection_the_server_has_closed_is_not_used_again() -> None:
    with serving(KEPT, KEPT) as (url, asked), connected(url) as get:
        assert get("/v2/").content == b"ok"
        threading.Event().wait(0.1)
        assert get("/v2/").content == b"ok"
    assert len(asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
        b"no HTTP at all\r\n\r\n",
    ],
    ids=["none", "short", "chunk", "odd"],
)
def test_an_answer_that_breaks_off_may_be_tried_again(answer: bytes) -> None:
    with serving(answer) as (url, _), connected(url) as get, pytest.raises(Broken) as caught:
        get("/v2/")
    assert caught.value.passing


@pytest.mark.fault(21)
def test_server_that_says_nothing_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen server takes the connection and says nothing → told after a minute, at the first try."""
    monkeypatch.setattr(loopback_http, "FIRST_WORD", 0.2)
    slept: list[float] = []
    with socket.create_server((HERE, 0)) as server:
        client = Client(f"http://{HERE}:{server.getsockname()[1]}", sleep=slept.append)
        with client, pytest.raises(RegistryError, match="no usable connection") as caught:
            client.ping()
        assert "accepts connections and does not answer" in caught.value.details
    assert slept == []


def test_headers_that_come_twice_are_joined() -> None:
    said = b"HTTP/1.1 200 OK\r\nWWW-Authenticate: Basic\r\nwww-authenticate: Bearer\r\nContent-Length: 0\r\n\r\n"
    with serving(said) as (url, _), connected(url) as get:
        assert get("/v2/").header("WWW-Authenticate") == "Basic, Bearer"


def test_a_url_with_odd_characters_is_sent_encoded() -> None:
    with serving(KEPT) as (url, asked), connected(url) as get:
        get("/a b/ü?c=%20d e")
    assert asked[0].startswith(b"GET /a%20b/%C3%BC?c=%20d%20e HTTP/1.1\r\n")


def test_answer_closed_after_it_was_read_harms_no_other(registry: Simulator) -> None:
    with connected(registry.url) as get:
        first, second = get("/v2/"), get("/v2/")
        first.close()
        assert (first.status_code, second.status_code, get("/v2/").status_code) == (200, 200, 200)


def test_a_body_refused_on_the_way_leaves_nothing_behind() -> None:
    """The server answers and closes before it has read a body → the answer counts, the connection does not."""
    refusal = b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n"
    with socket.create_server((HERE, 0)) as server:

        def serve() -> None:
            for answer in (refusal, KEPT):
                near, _ = server.accept()
                with near:
                    near.recv(1 << 10)
                    near.sendall(answer)
                    near.shutdown(socket.SHUT_WR)
                    near.settimeout(10)
                    with suppress(OSError):
                        while near.recv(1 << 16):
                            pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://{HERE}:{server.getsockname()[1]}"
        connections = Connections(parse(url))
        with closing(connections):
            pieces = (b"x" * 100_000 for _ in range(10))
            assert connections.request("PUT", f"{url}/blob", {}, pieces).status_code == 413
            assert connections.request("GET", f"{url}/v2/", {}).content == b"ok"
        thread.join(10)


def test_connection_a_body_was_refused_on_is_not_used_again() -> None:
    """The server has read all of a body it refuses, and closes a moment later → the next request meets no end."""
    refusal = b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n"
    body = [b"x" * 100]
    with socket.create_server((HERE, 0)) as server:

        def serve() -> None:
            for answer in (refusal, KEPT):
                near, _ = server.accept()
                with near:
                    asked = near.recv(1 << 10)
                    while asked.startswith(b"PUT") and not asked.endswith(body[0]):
                        asked += near.recv(1 << 10)
                    near.sendall(answer)
                    near.recv(1 << 10)  # the end of the connection, or a request that gets no answer

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://{HERE}:{server.getsockname()[1]}"
        connections = Connections(parse(url))
        with closing(connections):
            assert connections.request("PUT", f"{url}/blob", {}, body).status_code == 413
            assert connections.request("GET", f"{url}/v2/", {}).content == b"ok"
        thread.join(10)


def straight(to: Simulator, near: str = HERE) -> Shortcut:
    place: Address = parse(to.url)
    return Shortcut(place.host, place.port, near)


def test_a_blob_goes_straight_to_the_registry(registry: Simulator) -> None:
    with Client(registry.url.replace(HERE, "localhost")) as client:
        assert client.shorten("app", straight(registry))
        client.put_blob("app", BLOB, [DATA])
        assert client.blob_size("app", BLOB.digest) == BLOB.size
    assert not registry.uploads


def test_another_registry_gets_nothing(registry: Simulator) -> None:
    """What listens at the container's address is another registry → it is asked once, and never sent anything."""
    with Simulator() as other, Client(registry.url) as client:
        assert not client.shorten("app", straight(other))
        client.put_blob("app", BLOB, [DATA])
        assert [(one.method, one.status) for one in other.requests] == [("GET", 404)]
    assert registry.received == BLOB.size


def test_an_address_of_another_machine_is_not_connected_to(registry: Simulator) -> None:
    """The engine's network is not one of this machine (a virtual machine) → no packet leaves, nothing changes."""
    with Client(registry.url) as client:
        assert not client.shorten("app", Shortcut(ELSEWHERE, 5000, ELSEWHERE))
        client.put_blob("app", BLOB, [DATA])
    assert registry.received == BLOB.size


def test_a_shortcut_that_ends_is_left(registry: Simulator) -> None:
    place = parse(registry.url)
    with socket.create_server((HERE, 0)) as door, Client(registry.url, sleep=lambda _: None) as client:

        def serve() -> None:
            for _ in ("the question", "the end of its upload"):
                near, _ = door.accept()
                with near, socket.create_connection((place.host, place.port)) as far:
                    far.sendall(near.recv(1 << 16))
                    near.sendall(far.recv(1 << 16))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert client.shorten("app", Shortcut(HERE, door.getsockname()[1], HERE))
        thread.join(10)
        door.close()
        client.upload("app", BLOB, lambda: nullcontext(iter([DATA])))
    assert registry.content[BLOB.digest] == DATA
