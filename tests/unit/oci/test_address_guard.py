"""Hosts that do not mean well: names that lead into this machine, responses that never end."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter

from sandbox.oci import address_guard
from sandbox.oci.client import Client
from sandbox.oci.manifest import OCI_MANIFEST
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.transport import LARGEST, Transport
from tests.support.images import digest_of
from tests.support.ports import free_port
from tests.support.registry_simulator import Simulator

DATA = b"a blob"
BLOB = ("app", digest_of(DATA))
UNSPECIFIED = "0.0.0.0"  # noqa: S104  # nothing listens there
FAR = "127.0.0.7"  # stands for a machine elsewhere
NAME = "registry.test"


def answer_all(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], tuple[int, Mapping[str, str]]]
) -> list[tuple[str, str]]:
    """Answer every request by its URL with a status and headers; returns each URL with its Authorization."""
    asked: list[tuple[str, str]] = []

    def send(_: object, request: requests.PreparedRequest, **__: object) -> requests.Response:
        asked.append((str(request.url), request.headers.get("Authorization", "")))
        response = requests.Response()
        response.status_code, headers = answer(str(request.url))
        response.headers.update(headers)
        response.request, response.url, response.raw = request, str(request.url), io.BytesIO()
        return response

    monkeypatch.setattr(HTTPAdapter, "send", send)
    return asked


def test_local_addresses_are_recognised() -> None:
    def here(text: str) -> bool:
        return address_guard.is_local(text, "192.0.2.7")

    hidden = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", UNSPECIFIED, "::", "169.254.169.254", "fe80::1%eth0"]
    hidden += ["fd20:ce::254", "fd00:ec2:0::254"]
    assert all(map(here, [*hidden, *address_guard.METADATA, "192.0.2.7"]))
    assert not any(map(here, ["192.0.2.8", "10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "fd00::1"]))


class Names:
    """What names lead to, each answer the next of its list, the last for ever; others are left to the system."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known: dict[str, list[str]] = {}
        self._ask = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: str, *args: Any, **options: Any) -> Any:
        answers = self.known.get(host, [host])
        return self._ask(answers.pop(0) if len(answers) > 1 else answers[0], *args, **options)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Names, with FAR outside of this machine and no proxy."""
    monkeypatch.setenv("no_proxy", "*")
    real = address_guard.is_local
    monkeypatch.setattr(address_guard, "is_local", lambda one, own="": one != FAR and real(one, own))
    return Names(monkeypatch)


@pytest.fixture
def store() -> Iterator[Simulator]:
    """What must not be asked, on this machine."""
    with Simulator(content={digest_of(DATA): DATA}, links={BLOB}) as simulator:
        yield simulator


def port(simulator: Simulator) -> str:
    return simulator.url.rpartition(":")[2]


def read(registry: Simulator) -> bytes:
    registry.links = {BLOB}
    with Client(f"http://{NAME}:{port(registry)}", sleep=lambda _: None) as client, client.blob(*BLOB) as chunks:
        return b"".join(chunks)


INNER = {NAME: [FAR], "inner.test": ["127.0.0.1"]}
WAYS = [UNSPECIFIED, "127.1", "2130706433", "[::ffff:127.0.0.1]", "inner.test", "localhost"]


@pytest.mark.security(11)
@pytest.mark.parametrize(
    ("known", "host"),
    [
        *((INNER, host) for host in WAYS),
        ({NAME: [FAR], "inner.test": [FAR, "127.0.0.1"]}, "inner.test"),  # DNS rebinding
        ({NAME: [FAR, "127.0.0.1"]}, NAME),
    ],
)
def test_remote_registry_cannot_redirect_to_this_machine(
    names: Names, store: Simulator, known: dict[str, list[str]], host: str
) -> None:
    """A redirect to this machine by any name, whatever it led to before → refused before anything is asked there."""
    names.known = {name: list(addresses) for name, addresses in known.items()}
    with Simulator(host=FAR) as registry:
        registry.redirect_blobs = f"http://{host}:{port(store)}"
        with pytest.raises(RegistryError, match="is not allowed"):
            read(registry)
    assert not store.requests


@pytest.mark.security(11)
def test_redirect_to_this_machine_by_the_registrys_own_name_opens_no_connection(names: Names) -> None:
    names.known = {NAME: [FAR, "127.0.0.1"]}
    with Simulator(host=FAR) as registry, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        registry.redirect_blobs = f"http://{NAME}:{listener.getsockname()[1]}"
        with pytest.raises(RegistryError, match="is not allowed"):
            read(registry)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_registry_is_used_if_its_name_has_a_local_address_too(monkeypatch: pytest.MonkeyPatch, names: Names) -> None:
    def resolve(host: str, *args: Any, **options: Any) -> Any:
        addresses = [FAR, "127.0.0.1"] if host == NAME else [host]
        return [place for address in addresses for place in names(address, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with (
        Simulator(host=FAR, content={digest_of(DATA): DATA}, links={BLOB}) as registry,
        Client(f"http://{NAME}:{port(registry)}", sleep=lambda _: None) as client,
        client.blob(*BLOB) as first,
        client.blob(*BLOB) as second,  # needs another connection
    ):
        assert [b"".join(first), b"".join(second)] == [DATA, DATA]


@pytest.mark.security(10, 11)
def test_redirect_from_https_to_http_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirect from https to http → refused, nothing is sent."""
    asked = answer_all(monkeypatch, lambda _: (307, {"Location": "http://store.example/blob"}))
    with pytest.raises(RegistryError, match="is not allowed"):
        Transport("https://registry.example").request(
            "GET", "https://registry.example/v2/", authorization="Bearer canary"
        )
    assert asked == [("https://registry.example/v2/", "Bearer canary")]


@pytest.mark.security(11)
def test_redirect_to_an_ambiguous_host_sends_credentials_to_the_registry_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirect to a URL whose host programs read differently → no credentials at any other host."""
    home, place = "https://registry.example/v2/", "https://evil.example\\@registry.example/blob"
    asked = answer_all(monkeypatch, lambda url: (307, {"Location": place}) if url == home else (200, {}))
    Transport(home.removesuffix("/v2/")).request("GET", home, authorization="Bearer canary")
    assert {urlsplit(url).hostname for url, authorization in asked if authorization} == {"registry.example"}


@pytest.mark.security(11)
def test_redirect_does_not_tell_which_local_ports_are_open(names: Names) -> None:
    """A redirect to a port of this machine where nothing listens → refused as any other, without a connection."""
    names.known = {NAME: [FAR], "inner.test": ["127.0.0.1"]}
    with Simulator(host=FAR) as registry:
        registry.redirect_blobs = f"http://inner.test:{free_port()}"
        with pytest.raises(RegistryError, match="is not allowed") as caught:
            read(registry)
    assert "inner.test is 127.0.0.1: this machine" in caught.value.details


@pytest.mark.parametrize("host", [FAR, "127.0.0.1"], ids=["elsewhere", "behind a tunnel"])
def test_registry_may_redirect_to_a_store_at_the_same_machine(names: Names, host: str) -> None:
    names.known = {NAME: [host], "store.test": [host]}
    with Simulator(host=host, content={digest_of(DATA): DATA}, links={BLOB}) as store, Simulator(host=host) as registry:
        registry.redirect_blobs = f"http://store.test:{port(store)}"
        assert read(registry) == DATA


@pytest.mark.parametrize("place", [f"https://{'a' * 64}.example/blob", "http://[bad/"])
def test_redirect_to_what_no_name_can_be_is_an_error(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """A label has more characters than DNS lets it have."""
    answer_all(monkeypatch, lambda _: (307, {"Location": place}))
    with Transport("https://registry.example") as found, pytest.raises(RegistryError):
        found.request("GET", "https://registry.example/v2/")


@pytest.mark.fault(44)
def test_an_answer_without_end_is_refused(registry: Simulator) -> None:
    """A manifest larger than 4 MiB → refused in words, and not kept in memory."""
    flood = b'{"schemaVersion": 2, "a": "' + b"x" * LARGEST + b'"}'
    registry.content[digest_of(flood)] = flood
    registry.manifests["app", "1"] = (OCI_MANIFEST, digest_of(flood))
    with Client(registry.url) as client, pytest.raises(RegistryError, match="too large"):
        client.manifest("app", "1")
