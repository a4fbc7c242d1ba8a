"""Documents are refused when something is wrong; only the platforms that are wanted are pushed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import SandboxError
from sandbox.images.images_yaml import Entry, FromDaemon, FromLayout
from sandbox.images.push import PushFailed, push
from sandbox.images.sources.layout import Blobs, Folder
from sandbox.oci import manifest as manifests
from sandbox.oci.image import Image, MissingBlob, MissingPlatform, choose, fits, walk
from sandbox.oci.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, Document, Index
from sandbox.oci.oci_errors import BadImage
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


def document(child: Descriptor) -> Document:
    return Document(OCI_MANIFEST, IMAGES[str(child.platform)].manifest)


@given(st.lists(st.sampled_from(ALL), min_size=1, unique=True), st.lists(st.sampled_from(ALL), min_size=1, unique=True))
def test_only_wanted_platforms_are_left(there: list[str], wanted: list[str]) -> None:
    root = several(*there)
    missing = [platform for platform in wanted if platform not in there]
    if missing:
        with pytest.raises(MissingPlatform) as caught:
            choose(root, wanted, "app:1", document)
        assert caught.value.brief == f"app:1 does not exist for {', '.join(missing)}"
        assert all(platform in caught.value.details for platform in there)
        return
    chosen = choose(root, wanted, "app:1", document)
    if len(wanted) == 1:
        assert chosen.data == IMAGES[wanted[0]].manifest
        return
    content = manifests.parse(chosen)
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
    root = several("linux/arm/v6", "linux/arm/v7", "linux/amd64")
    assert choose(root, ["linux/arm"], "app:1", document).media_type == OCI_INDEX


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


IMAGE = TestImage((layer(1), layer(2)))
NOWHERE = Blobs(Folder(Path("nowhere")))  # which is not read


def test_a_document_without_a_media_type_is_known_by_its_content() -> None:
    assert manifests.document(b'{"schemaVersion": 2, "manifests": []}').media_type == manifests.OCI_INDEX
    assert manifests.document(b'{"schemaVersion": 2, "layers": []}', "text/plain").media_type == manifests.OCI_MANIFEST


WRONG: tuple[dict[str, Any], ...] = (
    {"digest": "../../etc"},
    {"size": -1},
    {"size": 10**400},
    {"mediaType": []},
    {"annotations": [1]},
)


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b'{"schemaVersion": 1, "name": "old"}',
        b'{"schemaVersion": 2, "config": {}, "layers": []}',
        *(index(IMAGE.descriptor(**fields)) for fields in WRONG),
    ],
)
def test_document_of_no_image_or_with_a_wrong_descriptor_is_refused(data: bytes) -> None:
    manifests.parse(manifests.document(index(IMAGE.descriptor())))
    with pytest.raises(BadImage):
        manifests.parse(manifests.document(data))


@pytest.mark.parametrize("said", [[1], ["sha256:x"], ["../../etc"], {"a": 1}, 1])
def test_a_layer_without_a_digest_is_refused(said: object) -> None:
    with pytest.raises(SandboxError, match="is not an image configuration"):
        manifests.diff_ids(json.dumps({"rootfs": {"diff_ids": said}}).encode())


def test_platforms_that_are_missing_are_left_out_of_an_index() -> None:
    by_platform = {name: TestImage((), name) for name in ("linux/arm64/v8", "linux/amd64", "unknown/unknown")}
    arm, amd, proof = (digest_of(image.manifest) for image in by_platform.values())
    root = manifests.document(index(*(image.on(name) for name, image in by_platform.items())))
    documents = {digest_of(image.manifest): manifests.document(image.manifest) for image in by_platform.values()}

    def left(*digests: str) -> Image:
        return walk(root, lambda child: documents[child.digest] if child.digest in digests else None, NOWHERE)

    whole = left(arm, amd, proof)
    assert [document.digest for document in whole.documents] == [arm, amd, proof, root.digest]
    assert {blob.digest for blob in whole.blobs} == {digest_of(image.config) for image in by_platform.values()}
    assert whole.notes == ()
    single = left(amd)
    assert single.root.digest == amd and "linux/arm64/v8" in single.notes[0]
    content = json.loads(left(arm, amd).root.data)
    assert [child["digest"] for child in content["manifests"]] == [arm, amd]
    assert content["manifests"][0]["platform"]["variant"] == "v8"
    with pytest.raises(MissingBlob) as caught:
        left()
    assert arm in caught.value.details


def test_an_index_of_too_many_is_refused() -> None:
    listed = [{**IMAGE.descriptor(), "digest": digest_of(str(number).encode())} for number in range(1001)]
    with pytest.raises(BadImage, match="more than 1000 manifests"):
        walk(manifests.document(index(*listed)), lambda child: None, NOWHERE)
