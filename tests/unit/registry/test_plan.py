"""Whatever the images, the plan moves each blob once and misses none."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sandbox.registry import manifest as manifests
from sandbox.registry.image import Image
from sandbox.registry.manifest import Descriptor
from sandbox.registry.plan import make
from sandbox.registry.sources.layout import Layout
from sandbox.registry.target import Target
from tests.images import digest_of

targets = st.builds(Target, st.sampled_from(["a", "b", "team/c"]), st.sampled_from(["1", "2", "3"]))


@st.composite
def images(draw: st.DrawFn) -> Image:
    numbers = draw(st.lists(st.integers(0, 12), max_size=6, unique=True))
    blobs = tuple(Descriptor(manifests.OCI_LAYER, digest_of(bytes([number])), number) for number in numbers)
    config = Descriptor(manifests.OCI_CONFIG, digest_of(b"config"), 1)
    return Image((manifests.image_manifest(config, blobs),), (config, *blobs), draw(st.sampled_from(ORIGINS)))


ORIGINS = [Layout(Path(name)) for name in "xyz"]


@given(st.dictionaries(targets, images(), max_size=9))
def test_every_blob_is_moved_once_to_exactly_where_it_is_needed(wanted: dict[Target, Image]) -> None:
    plan = make(wanted)
    digests = [transfer.blob.digest for transfer in plan.transfers]
    assert len(digests) == len(set(digests))
    moved = {(repository, transfer.blob.digest) for transfer in plan.transfers for repository in transfer.repositories}
    needed = {(target.repository, blob.digest) for target, image in wanted.items() for blob in image.blobs}
    assert moved == needed
    assert all(len(set(transfer.repositories)) == len(transfer.repositories) for transfer in plan.transfers)


@given(st.dictionaries(targets, images(), max_size=9))
def test_an_image_waits_for_all_its_blobs_and_each_blob_is_charged_once(wanted: dict[Target, Image]) -> None:
    plan = make(wanted)
    for target, image in wanted.items():
        assert plan.needs(target) == {blob.digest for blob in image.blobs}
    charged = [digest for target in wanted for digest in plan.charges(target)]
    assert sorted(charged) == sorted(transfer.blob.digest for transfer in plan.transfers)


@given(st.dictionaries(targets, images(), max_size=9))
def test_every_origin_that_has_a_blob_can_give_it_and_large_blobs_go_first(wanted: dict[Target, Image]) -> None:
    plan = make(wanted)
    for transfer in plan.transfers:
        holders = [image.origin for image in wanted.values() if transfer.blob in image.blobs]
        assert set(map(id, transfer.origins)) == set(map(id, holders))
    sizes = [transfer.blob.size for transfer in plan.transfers]
    assert sizes == sorted(sizes, reverse=True)
    assert plan.size == sum(sizes)
