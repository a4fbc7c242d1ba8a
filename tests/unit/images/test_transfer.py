"""Whatever the images, the plan moves each blob once and misses none."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.images.sources.image_source import Unreadable
from sandbox.images.sources.layout import Blobs, Folder
from sandbox.images.transfer import BlobInventory, Destination, Transfer, carry, plan_transfers
from sandbox.oci import manifest as manifests
from sandbox.oci.client import Client
from sandbox.oci.image import Image
from sandbox.oci.manifest import Descriptor
from sandbox.oci.reference import Target
from tests.support.images import digest_of, layer
from tests.support.registry_simulator import Simulator

ORIGINS = [Blobs(Folder(Path(name))) for name in "xyz"]
targets = st.builds(Target, st.sampled_from(["a", "b", "team/c"]), st.sampled_from(["1", "2", "3"]))


@st.composite
def images(draw: st.DrawFn) -> Image:
    numbers = draw(st.lists(st.integers(0, 12), max_size=6, unique=True))
    blobs = tuple(Descriptor(manifests.OCI_LAYER, digest_of(bytes([number])), number) for number in numbers)
    config = Descriptor(manifests.OCI_CONFIG, digest_of(b"config"), 1)
    return Image((manifests.image_manifest(config, blobs),), (config, *blobs), draw(st.sampled_from(ORIGINS)))


@pytest.mark.fault(44)
@given(st.dictionaries(targets, images(), max_size=9))
def test_every_blob_is_moved_once_to_exactly_where_it_is_needed(wanted: dict[Target, Image]) -> None:
    """Any set of images that share layers → the first image with a blob sends it, once; large blobs come first."""
    transfers = plan_transfers(wanted)
    digests = [transfer.blob.digest for transfer in transfers]
    assert len(digests) == len(set(digests))
    moved = {(repository, transfer.blob.digest) for transfer in transfers for repository in transfer.repositories}
    needed = {(target.repository, blob.digest) for target, image in wanted.items() for blob in image.blobs}
    assert moved == needed
    assert all(len(set(transfer.repositories)) == len(transfer.repositories) for transfer in transfers)
    for transfer in transfers:
        first = next(target for target, image in wanted.items() if transfer.blob in image.blobs)
        assert (transfer.first, transfer.origin) == (first, wanted[first].origin)
    sizes = [transfer.blob.size for transfer in transfers]
    assert sizes == sorted(sizes, reverse=True)


class Torn:
    """A source that fails with `error` until it was opened `times` times."""

    def __init__(self, data: bytes, error: Exception, times: int) -> None:
        self.data, self.error, self.left = data, error, times

    def open(self, _: Descriptor) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        def given() -> Iterator[bytes]:
            yield self.data[:1]
            self.left -= 1
            if self.left >= 0:
                raise self.error
            yield self.data[1:]

        return contextlib.nullcontext(given())


@pytest.mark.parametrize(
    ("error", "times", "brief"),
    [
        (OSError(errno.EIO, "Input/output error"), 1, "a layer cannot be read to its end"),
        (Unreadable("the container ended while it was read"), 2, "the container ended while it was read"),
        (Unreadable("the container ended while it was read"), 1, None),
    ],
)
def test_container_that_ends_is_asked_once_more_for_a_layer(
    registry: Simulator, error: Exception, times: int, brief: str | None
) -> None:
    data, waited = layer(3, 600), list[float]()
    blob = Descriptor(manifests.OCI_LAYER, digest_of(data), len(data))
    with Client(registry.url, sleep=waited.append) as client, ThreadPoolExecutor(1) as pool:
        transfer = Transfer(blob, ("app", "web"), Torn(data, error, times), Target("app", "1"))
        carried = carry(transfer, Destination(client, BlobInventory(client), lambda _: None, pool))
    assert [failed.brief for failed in carried.failures.values()] == ([brief] * 2 if brief else [])
    assert (blob.digest in registry.content) is (brief is None)
    assert not waited and not registry.uploads
