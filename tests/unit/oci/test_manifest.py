"""Documents keep their exact bytes, are told apart by their content, and are refused when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from sandbox.errors import SandboxError
from sandbox.oci import manifest as manifests
from sandbox.oci.image import Image, MissingBlob, walk
from sandbox.oci.manifest import Descriptor
from sandbox.oci.oci_errors import BadImage
from tests.support.images import TestImage, digest_of, index, layer

IMAGE = TestImage((layer(1), layer(2)))


def test_a_document_without_a_media_type_is_known_by_its_content() -> None:
    assert manifests.document(b'{"schemaVersion": 2, "manifests": []}').media_type == manifests.OCI_INDEX
    assert manifests.document(b'{"schemaVersion": 2, "layers": []}', "text/plain").media_type == manifests.OCI_MANIFEST


@pytest.mark.parametrize(
    "data",
    [b"[]", b'{"schemaVersion": 1, "name": "old"}', b'{"schemaVersion": 2, "config": {}, "layers": []}'],
)
def test_non_image_document_is_refused(data: bytes) -> None:
    with pytest.raises(SandboxError):
        manifests.parse(manifests.document(data))


@pytest.mark.parametrize(
    "fields", [{"digest": "../../etc"}, {"size": -1}, {"size": 10**400}, {"mediaType": []}, {"annotations": [1]}]
)
def test_malformed_descriptor_is_refused(fields: dict[str, object]) -> None:
    manifests.parse(manifests.document(index(IMAGE.descriptor())))
    with pytest.raises(BadImage):
        manifests.parse(manifests.document(index(IMAGE.descriptor(**fields))))


@pytest.mark.parametrize("said", [[1], ["sha256:x"], ["../../etc"], {"a": 1}, 1])
def test_a_layer_without_a_digest_is_refused(said: object) -> None:
    with pytest.raises(SandboxError, match="is not an image configuration"):
        manifests.diff_ids(json.dumps({"rootfs": {"diff_ids": said}}).encode())


class Nowhere:
    """The Origin of images whose blobs are not read."""

    def open(self, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        raise NotImplementedError


def test_platforms_that_are_missing_are_left_out_of_an_index() -> None:
    by_platform = {name: TestImage((), name) for name in ("linux/arm64/v8", "linux/amd64", "unknown/unknown")}
    arm, amd, proof = (digest_of(image.manifest) for image in by_platform.values())
    root = manifests.document(index(*(image.on(name) for name, image in by_platform.items())))
    documents = {digest_of(image.manifest): manifests.document(image.manifest) for image in by_platform.values()}

    def left(*digests: str) -> Image:
        return walk(root, lambda child: documents[child.digest] if child.digest in digests else None, Nowhere())

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
        walk(manifests.document(index(*listed)), lambda child: None, Nowhere())
