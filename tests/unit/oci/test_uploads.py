"""Blobs into registries that tear connections, refuse large bodies, lose their place or answer from odd addresses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import pytest

from sandbox.oci.client import Client
from sandbox.oci.digest import DigestMismatch
from sandbox.oci.manifest import Descriptor
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.transport import TRIES
from tests.support.images import digest_of
from tests.support.registry_simulator import RESET, RESET_ANSWER, RESET_KEPT, Fault, Simulator

DATA = bytes(range(256)) * 4000
BLOB = Descriptor("application/octet-stream", digest_of(DATA), len(DATA))
PIECE = 300_000


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(registry: Simulator, slept: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("sandbox.oci.chunked_upload.PIECE", PIECE)
    with Client(registry.url, sleep=slept.append, luck=lambda: 0.0) as client:
        yield client


def chunks(data: bytes = DATA, step: int = 70_000) -> contextlib.AbstractContextManager[Iterator[bytes]]:
    return contextlib.nullcontext(data[start : start + step] for start in range(0, len(data), step))


def arrived(registry: Simulator) -> bool:
    """Whether the blob is there, and nothing half-done next to it."""
    return registry.content == {BLOB.digest: DATA} and not registry.uploads


def methods(registry: Simulator) -> list[str]:
    return [f"{one.method} {one.status}" for one in registry.requests]


@pytest.mark.parametrize("status", [405, 411, 413, 501])
@pytest.mark.parametrize("relative", [False, True])
def test_registry_refusing_a_put_body_gets_chunks_from_then_on(
    registry: Simulator, client: Client, slept: list[float], status: int, relative: bool
) -> None:
    registry.put_bodies, registry.relative_locations = status, relative
    client.upload("app", BLOB, chunks)
    assert arrived(registry)
    registry.forget()
    client.upload("other", BLOB, chunks)
    assert methods(registry) == ["POST 202", *["PATCH 202"] * 4, "PUT 201"]
    assert slept == []


def test_bodies_refused_at_the_same_time_both_go_in_pieces(registry: Simulator, client: Client) -> None:
    registry.put_bodies = 413
    begun: list[str] = []

    def later() -> contextlib.AbstractContextManager[Iterator[bytes]]:
        if not begun:
            begun.append("app")
            client.upload("other", BLOB, chunks)  # is refused while this one's body is on its way
        return chunks()

    client.upload("app", BLOB, later)
    assert arrived(registry)


def test_pieces_shrink_until_they_fit(registry: Simulator, client: Client) -> None:
    registry.body_limit = 100_000
    client.upload("app", BLOB, chunks)
    assert arrived(registry)
    assert max(one.size for one in registry.requests if one.method == "PATCH" and one.status == 202) <= 100_000


def test_pieces_do_not_shrink_for_ever(registry: Simulator, client: Client) -> None:
    registry.body_limit = 10
    with pytest.raises(RegistryError) as caught:
        client.upload("app", BLOB, chunks)
    assert caught.value.status == 413
    assert not registry.uploads


@pytest.mark.parametrize("answer", [RESET, 500, 502, 503, 429, 408])
def test_broken_body_is_sent_again_after_asking_if_it_arrived(
    registry: Simulator, client: Client, slept: list[float], answer: int | str
) -> None:
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


def test_bytes_of_a_broken_put_are_not_sent_again(registry: Simulator, client: Client) -> None:
    registry.faults = [Fault("PUT", "/blobs/uploads/", RESET_KEPT)]
    client.upload("app", BLOB, chunks)
    assert arrived(registry)
    assert registry.received == len(DATA) - (1 << 16)


@pytest.mark.fault(32)
@pytest.mark.parametrize("answer", [RESET, RESET_KEPT, RESET_ANSWER, 500, 503, 429])
@pytest.mark.parametrize("relative", [False, True])
def test_pieces_go_on_from_where_the_registry_is(
    registry: Simulator, client: Client, answer: int | str, relative: bool
) -> None:
    """A piece breaks off → the next begins where the registry says it is."""
    registry.put_bodies, registry.relative_locations = 405, relative
    registry.faults = [Fault("PATCH", "", answer), Fault("PATCH", "", answer)]
    client.upload("app", BLOB, chunks)
    assert arrived(registry)
    assert registry.count("POST") == 1


def test_a_range_the_registry_does_not_want_is_asked_for_again(registry: Simulator, client: Client) -> None:
    registry.put_bodies = 405
    registry.faults = [Fault("PATCH", "", 416, times=2)]
    client.upload("app", BLOB, chunks)
    assert arrived(registry)


def test_put_answered_416_continues_in_chunks(registry: Simulator, client: Client) -> None:
    registry.faults = [Fault("PUT", "", 416)]
    client.upload("app", BLOB, chunks)
    assert arrived(registry)


@pytest.mark.fault(33)
def test_an_upload_that_grew_behind_our_back_is_begun_again(registry: Simulator, client: Client) -> None:
    """The upload holds more than we sent → started again, never added to."""
    registry.put_bodies = 405
    begun = client.begin("app")
    registry.uploads[begun.rpartition("/")[2]] += b"x" * (len(DATA) + 5)
    client.upload("app", BLOB, chunks, begun=begun)
    assert arrived(registry)


@pytest.mark.fault(33)
def test_bytes_the_registry_mixed_up_are_sent_again(registry: Simulator, client: Client) -> None:
    """An upload holds bytes that are not ours → the digest does not fit, and all is sent again."""
    registry.put_bodies = 405
    begun = client.begin("app")
    registry.uploads[begun.rpartition("/")[2]] += b"x" * 500
    registry.faults = [Fault("PATCH", "", RESET)]
    client.upload("app", BLOB, chunks, begun=begun)
    assert arrived(registry)


def test_an_upload_the_registry_forgot_is_begun_again(registry: Simulator, client: Client) -> None:
    begun = client.begin("app")
    registry.uploads.clear()
    client.upload("app", BLOB, chunks, begun=begun)
    assert arrived(registry)


def test_body_that_is_refused_for_good_is_not_sent_in_pieces(registry: Simulator, client: Client) -> None:
    registry.faults = [Fault("PUT", "/blobs/uploads/", 403)]
    with pytest.raises(RegistryError) as caught:
        client.upload("app", BLOB, chunks)
    assert caught.value.status == 403
    assert not registry.count("PATCH") and not registry.content


def test_pieces_of_which_nothing_is_taken_end(registry: Simulator, client: Client) -> None:
    registry.put_bodies = 405
    registry.faults = [Fault("PATCH", "", 202, times=999, headers={"Range": "0-0"})]
    with pytest.raises(RegistryError, match="nothing"):
        client.upload("app", BLOB, chunks)
    assert registry.count("PATCH") <= TRIES * TRIES * 2


@pytest.mark.parametrize("size", [0, 1, 2, PIECE, PIECE + 1])
def test_blobs_of_any_size_go_up_in_pieces(registry: Simulator, client: Client, size: int) -> None:
    registry.put_bodies = 405
    client.upload("app", BLOB, chunks)
    data = b"x" * size
    client.upload("app", Descriptor("x", digest_of(data), size), lambda: chunks(data))
    assert registry.content[digest_of(data)] == data


def test_201_for_a_piece_is_fine(registry: Simulator, client: Client) -> None:
    registry.put_bodies, registry.patch_status = 405, 201
    client.upload("app", BLOB, chunks)
    assert arrived(registry)
    with chunks() as parts:
        client.finish(client.patch(client.begin("app"), parts), BLOB.digest)
    assert arrived(registry)


@pytest.mark.parametrize("pieces", [False, True])
def test_a_source_that_breaks_is_opened_again(registry: Simulator, client: Client, pieces: bool) -> None:
    registry.put_bodies = 405 if pieces else 0
    opened = 0

    @contextlib.contextmanager
    def breaking() -> Iterator[Iterator[bytes]]:
        nonlocal opened
        opened += 1
        if opened == 2 or (opened == 1 and not pieces):
            yield torn()
        else:
            with chunks() as parts:
                yield parts

    def torn() -> Iterator[bytes]:
        with chunks() as parts:
            for count, part in enumerate(parts):
                if count == 9:
                    raise RegistryError("the source broke off", transient=True)
                yield part

    client.upload("app", BLOB, breaking)
    assert arrived(registry)


@pytest.mark.parametrize("pieces", [False, True])
def test_wrong_bytes_never_arrive_and_leave_nothing_behind(registry: Simulator, client: Client, pieces: bool) -> None:
    registry.put_bodies = 405 if pieces else 0
    for wrong in (b"x" * len(DATA), DATA[:-1], DATA + b"x"):
        with pytest.raises(DigestMismatch):
            client.upload("app", BLOB, partial(chunks, wrong))
    assert not registry.content
    assert not registry.uploads


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


def test_a_mount_answered_with_an_odd_location_is_used(registry: Simulator, client: Client) -> None:
    client.upload("one", BLOB, chunks)
    registry.refuse_mounts, registry.location_base = True, "http://localhost:{port}"
    begun = client.mount("two", BLOB.digest, "one")
    client.upload("two", BLOB, chunks, begun=begun)
    assert ("two", BLOB.digest) in registry.links


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
