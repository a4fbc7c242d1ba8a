"""Only the platforms that are wanted are pushed, and those that do not exist are all named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.images.images_yaml import Entry, FromDaemon, FromLayout
from sandbox.images.push import PushFailed, push
from sandbox.oci.image import MissingPlatform, choose, fits
from sandbox.oci.manifest import OCI_INDEX, Descriptor, Document, Index
from sandbox.oci.manifest import parse as read
from sandbox.oci.reference import parse_target
from tests.support.images import (
    FakeEngine,
    TestImage,
    descriptor_of,
    digest_of,
    index,
    layer,
    write_index,
    write_layout,
)
from tests.support.registry_simulator import Simulator

ALL = ("linux/amd64", "linux/arm64", "linux/arm/v6", "linux/arm/v7", "windows/amd64")
IMAGES = {platform: TestImage((layer(number),), platform) for number, platform in enumerate(ALL)}


def attestation(platform: str) -> dict[str, Any]:
    proof = TestImage((), f"proof of {platform}")
    annotations = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": digest_of(IMAGES[platform].manifest),
    }
    return proof.descriptor(annotations=annotations, platform={"os": "unknown", "architecture": "unknown"})


def several(*platforms: str) -> Document:
    return Document(OCI_INDEX, index(*(IMAGES[name].on(name) for name in platforms), *map(attestation, platforms)))


@given(st.lists(st.sampled_from(ALL), min_size=1, unique=True), st.lists(st.sampled_from(ALL), min_size=1, unique=True))
def test_only_wanted_platforms_are_left(there: list[str], wanted: list[str]) -> None:
    root = several(*there)
    missing = [platform for platform in wanted if platform not in there]
    if missing:
        with pytest.raises(MissingPlatform) as caught:
            choose(root, wanted, "app:1")
        assert caught.value.brief == f"app:1 does not exist for {', '.join(missing)}"
        assert all(platform in caught.value.details for platform in there)
        return
    chosen = choose(root, wanted, "app:1")
    if isinstance(chosen, Descriptor):
        assert [chosen.platform] == wanted
        return
    content = read(chosen)
    assert isinstance(content, Index)
    images = [child for child in content.manifests if not child.is_attestation]
    assert {child.platform for child in images} == set(wanted)
    proofs = {child.annotations["vnd.docker.reference.digest"] for child in content.manifests if child.is_attestation}
    assert proofs == {child.digest for child in images}
    if len(wanted) == len(there):
        assert chosen == root


def test_a_variant_fits_unless_another_is_named() -> None:
    assert fits("linux/arm/v7", "linux/arm")
    assert not fits("linux/arm/v7", "linux/arm/v6")
    assert fits("linux/arm", "linux/arm/v7") and fits("linux/arm", "linux/arm")
    assert not fits("linux/arm", "linux/arm/v6")
    assert fits("linux/arm64", "linux/arm64/v8")
    assert not fits("linux/amd64", "linux/amd")
    assert isinstance(choose(several("linux/arm/v6", "linux/arm/v7", "linux/amd64"), ["linux/arm"], "app:1"), Document)


def children(registry: Simulator, tag: str) -> list[str]:
    return [child["digest"] for child in registry.manifest("app", tag)["manifests"]]


def test_a_layout_of_many_platforms_is_pushed_with_some_of_them(registry: Simulator, tmp_path: Path) -> None:
    top = index(*(IMAGES[name].on(name) for name in ALL))
    write_index(tmp_path, top, *IMAGES.values())
    wanted = ("linux/amd64", "linux/arm64")
    (one,) = push([FromLayout(parse_target("app:two"), tmp_path, None, wanted)], registry.url)
    assert children(registry, "two") == [digest_of(IMAGES[platform].manifest) for platform in wanted]
    assert one.source == digest_of(top)
    (single,) = push([FromLayout(parse_target("app:one"), tmp_path, None, wanted[:1])], registry.url)
    assert single.digest == digest_of(IMAGES["linux/amd64"].manifest)
    missing = FromLayout(parse_target("app:x"), tmp_path, None, ("linux/s390x", "linux/riscv64", *wanted))
    with pytest.raises(PushFailed, match="does not exist for linux/s390x, linux/riscv64"):
        push([missing], registry.url)
    (whole,) = push([FromLayout(parse_target("app:all"), tmp_path)], registry.url)
    assert whole.digest == digest_of(top)


def test_index_below_an_index_is_listed_as_what_is_left_of_it(registry: Simulator, tmp_path: Path) -> None:
    inner = index(IMAGES["linux/amd64"].on("linux/amd64"), IMAGES["linux/arm64"].on("linux/arm64"))
    top = index(descriptor_of(inner), IMAGES["windows/amd64"].on("windows/amd64"))
    blobs = {**IMAGES["linux/amd64"].files, **IMAGES["windows/amd64"].files, digest_of(inner): inner}
    write_layout(tmp_path, index(descriptor_of(top)), {**blobs, digest_of(top): top})
    (one,) = push([FromLayout(parse_target("app:1"), tmp_path)], registry.url)
    assert children(registry, "1") == [digest_of(IMAGES[each].manifest) for each in ("linux/amd64", "windows/amd64")]
    assert one.notes == ("left out, because its source lacks them: linux/arm64",)


@pytest.mark.fault(41)
def test_image_without_an_index_is_judged_by_its_config(registry: Simulator, tmp_path: Path) -> None:
    """An image of linux/amd64 where linux/arm64 is wanted → that image fails; what it is for is said."""
    image = IMAGES["linux/amd64"]
    write_layout(tmp_path, index(image.descriptor()), image.files)
    engine = FakeEngine({"app:dev": image})

    def entries(platform: str) -> list[Entry]:
        return [
            FromLayout(parse_target("app:1"), tmp_path, None, (platform,)),
            FromDaemon(parse_target("app:2"), "app:dev", (platform,)),
        ]

    for _ in range(2):
        push(entries("linux/amd64"), registry.url, engine)
    with pytest.raises(PushFailed) as caught:
        push(entries("linux/arm64"), registry.url, engine)
    assert caught.value.details.count("does not exist for linux/arm64") == 2
    assert "it exists for: linux/amd64" in caught.value.details
