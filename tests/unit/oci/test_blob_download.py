"""Downloads that break in the middle, from registries that give the rest and from those that only give the whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from sandbox.images.images_yaml import FromRegistry
from sandbox.images.push import PushFailed, push
from sandbox.oci import reference, transport
from sandbox.oci.client import Client
from sandbox.oci.digest import CHUNK
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.reference import parse_target
from tests.support.images import OCI_MANIFEST, TestImage, digest_of, layer
from tests.support.registry_simulator import RESET_ANSWER, Fault, Simulator

# Half of it is more than the systems' buffers can swallow when a connection is reset.
LARGE = layer(1, 16 * CHUNK)
DIGEST = digest_of(LARGE)
APP = TestImage((LARGE, layer(2)), "app")
FILES = APP.files
MANIFEST = digest_of(APP.manifest)


@pytest.fixture
def source() -> Iterator[Simulator]:
    """A registry with APP in it."""
    with Simulator(content=dict(FILES)) as simulator:
        simulator.links |= {("org/app", digest) for digest in FILES}
        for name in ("1", MANIFEST):
            simulator.manifests["org/app", name] = (OCI_MANIFEST, MANIFEST)
        yield simulator


def read(source: Simulator) -> str:
    """The digest of what a download gives."""
    measure = hashlib.sha256()
    with Client(source.url, sleep=lambda _: None) as client, client.blob("org/app", DIGEST) as chunks:
        for chunk in chunks:
            measure.update(chunk)
    return f"sha256:{measure.hexdigest()}"


def statuses(source: Simulator) -> list[int]:
    return [one.status for one in source.requests if one.method == "GET" and DIGEST in one.path]


def tear(source: Simulator, times: int = 1) -> None:
    source.faults.append(Fault("GET", DIGEST, RESET_ANSWER, times=times))


@pytest.mark.fault(36)
def test_broken_download_resumes_where_it_ended(source: Simulator) -> None:
    """A download ends early twice → it goes on where it broke."""
    tear(source, times=2)
    assert read(source) == DIGEST
    assert statuses(source) == [200, 206, 206]


def test_ignored_or_refused_range_downloads_the_whole_again(source: Simulator) -> None:
    source.ranges = False
    tear(source)
    assert read(source) == DIGEST
    assert statuses(source) == [200, 200]
    source.ranges, source.range_error = True, len(LARGE)
    tear(source)
    source.forget()
    assert read(source) == DIGEST
    assert statuses(source) == [200, 416, 200]


def test_surplus_bytes_are_skipped_and_a_gap_is_refused(source: Simulator) -> None:
    source.range_error = -100
    tear(source)
    assert read(source) == DIGEST
    source.range_error = 100
    tear(source)
    with pytest.raises(RegistryError, match="another part of a blob"):
        read(source)


@pytest.mark.fault(36)
def test_download_without_progress_fails_with_the_reason(source: Simulator) -> None:
    """A download that never gets further → an end with the reason."""
    tear(source)
    source.faults.append(Fault("GET", DIGEST, 503, times=transport.TRIES))
    with pytest.raises(RegistryError) as caught:
        read(source)
    assert caught.value.status == 503


@pytest.mark.parametrize("ranges", [True, False])
def test_push_from_a_breaking_registry_sends_each_blob_once(source: Simulator, ranges: bool) -> None:
    source.ranges = ranges
    tear(source, times=2)
    image = reference.parse(f"{source.url.removeprefix('http://')}/org/app:1")
    with Simulator() as registry:
        (result,) = push([FromRegistry(parse_target("app:1"), image)], registry.url)
        assert registry.content[DIGEST] == LARGE
        assert (result.size, registry.count("PUT", "blobs")) == (sum(map(len, (*APP.blobs, APP.config))), 3)


@pytest.mark.fault(40)
def test_bytes_changed_between_tries_never_become_a_blob(source: Simulator) -> None:
    """A layer changes between two tries → the push of the image fails."""

    class Changing(dict[str, bytes]):
        """Gives other bytes of the layer from the second time on."""

        asked = 0

        def __getitem__(self, key: str) -> bytes:
            self.asked += key == DIGEST
            data = super().__getitem__(key)
            return data if self.asked == 1 or key != DIGEST else bytes(len(data))

    source.content = Changing(source.content)
    tear(source)
    image = reference.parse(f"{source.url.removeprefix('http://')}/org/app:1")
    with Simulator() as registry, pytest.raises(PushFailed, match="1 of 1 images") as caught:
        push([FromRegistry(parse_target("app:1"), image)], registry.url)
    assert "damaged at its source" in caught.value.details
    assert DIGEST not in registry.content
