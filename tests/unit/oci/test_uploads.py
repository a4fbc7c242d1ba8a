"""Blobs into registries that tear connections, refuse large bodies, lose their place or answer from odd addresses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from sandbox.oci.client import Client
from sandbox.oci.manifest import Descriptor
from sandbox.oci.oci_errors import RegistryError
from tests.support.images import digest_of
from tests.support.registry_simulator import RESET, RESET_ANSWER, Fault, Simulator

DATA = bytes(range(256)) * 4000
BLOB = Descriptor("application/octet-stream", digest_of(DATA), len(DATA))


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(registry: Simulator, slept: list[float]) -> Iterator[Client]:
    with Client(registry.url, sleep=slept.append) as client:
        yield client


def chunks(data: bytes = DATA, step: int = 70_000) -> contextlib.AbstractContextManager[Iterator[bytes]]:
    return contextlib.nullcontext(data[start : start + step] for start in range(0, len(data), step))


def arrived(registry: Simulator) -> bool:
    """Whether the blob is there, and nothing half-done next to it."""
    return registry.content == {BLOB.digest: DATA} and not registry.uploads


def methods(registry: Simulator) -> list[str]:
    return [f"{one.method} {one.status}" for one in registry.requests]


@pytest.mark.parametrize("size", [0, 1])
def test_smallest_blobs_arrive(registry: Simulator, client: Client, size: int) -> None:
    data = b"x" * size
    client.upload("app", Descriptor("x", digest_of(data), size), lambda: chunks(data))
    assert registry.content[digest_of(data)] == data


@pytest.mark.parametrize("status", [403, 413])
def test_body_that_is_refused_for_good_is_sent_once(registry: Simulator, client: Client, status: int) -> None:
    registry.faults = [Fault("PUT", "/blobs/uploads/", status)]
    with pytest.raises(RegistryError) as caught:
        client.upload("app", BLOB, chunks)
    assert caught.value.status == status
    assert status != 413 or "client_max_body_size" in caught.value.fix
    assert registry.count("PUT") == 1 and not registry.content and not registry.uploads


@pytest.mark.fault(32)
@pytest.mark.parametrize("answer", [RESET, 500, 502, 503, 429, 408])
def test_broken_body_is_sent_again_after_asking_if_it_arrived(
    registry: Simulator, client: Client, slept: list[float], answer: int | str
) -> None:
    """A reset in the middle of an upload → it is sent again."""
    registry.faults = [Fault("PUT", "/blobs/uploads/", answer, times=2)]
    client.upload("app", BLOB, chunks)
    assert arrived(registry)
    assert registry.count("HEAD") == 2
    assert slept == [0.2, 0.4]


@pytest.mark.fault(33)
def test_a_put_whose_answer_was_lost_is_not_repeated(registry: Simulator, client: Client) -> None:
    """The body arrived and the answer did not → a look says that it is there; nothing is sent twice."""
    registry.faults = [Fault("PUT", "/blobs/uploads/", RESET_ANSWER)]
    client.upload("app", BLOB, chunks)
    assert arrived(registry)
    assert registry.received == len(DATA)


def test_an_upload_the_registry_forgot_is_begun_again(registry: Simulator, client: Client) -> None:
    begun = client.begin("app")
    registry.uploads.clear()
    client.upload("app", BLOB, chunks, begun=begun)
    assert arrived(registry)


@pytest.mark.parametrize(
    "base", ["http://localhost:{port}", "http://[::1]:{port}", "//127.0.0.1:{port}", "https://127.0.0.1"]
)
def test_locations_naming_the_registry_otherwise_are_followed(registry: Simulator, client: Client, base: str) -> None:
    registry.location_base = base
    client.upload("app", BLOB, chunks)
    assert arrived(registry)


@pytest.mark.security(11)
@pytest.mark.parametrize(
    "base", ["http://elsewhere.example:{port}", "http://127.0.0.1:1", "ftp://127.0.0.1:{port}", "http://[x"]
)
def test_locations_elsewhere_are_refused(registry: Simulator, client: Client, base: str) -> None:
    """An upload is sent to another host → refused."""
    registry.location_base = base
    with pytest.raises(RegistryError, match="another host"):
        client.upload("app", BLOB, chunks)


@pytest.mark.fault(37)
@pytest.mark.parametrize("slowness", [0.0, 0.001])
def test_a_download_arrives_however_slowly(registry: Simulator, client: Client, slowness: float) -> None:
    """A source that gives its bytes slowly → it arrives."""
    client.upload("app", BLOB, chunks)
    registry.slowness = slowness
    with client.blob("app", BLOB.digest) as parts:
        assert b"".join(parts) == DATA


def test_a_copy_whose_download_broke_is_made_again(registry: Simulator, client: Client) -> None:
    client.upload("app", BLOB, chunks)
    with Simulator() as other, Client(other.url, sleep=lambda _: None) as there:
        registry.faults = [Fault("GET", "/blobs/", RESET_ANSWER, times=2)]
        there.upload("app", BLOB, lambda: client.blob("app", BLOB.digest))
        assert arrived(other)
