"""What a registry holds, and whose bytes they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.images.listing import catalogue
from sandbox.oci import digest as digests
from sandbox.oci.client import Client
from sandbox.oci.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER, Descriptor, Document, canonical, image_manifest
from sandbox.oci.oci_errors import RegistryError
from tests.support.registry_simulator import Simulator


@pytest.fixture
def client() -> Iterator[Client]:
    with Simulator() as registry, Client(registry.url) as client:
        yield client


def push(client: Client, repository: str, tag: str | None, *layers: bytes) -> Document:
    """An image with these layers; its configuration is the last layer's bytes again, in small."""
    blobs = [Descriptor(OCI_LAYER, digests.of(data), len(data)) for data in layers]
    config = canonical({"rootfs": {"type": "layers", "diff_ids": [blob.digest for blob in blobs]}})
    first = Descriptor(OCI_CONFIG, digests.of(config), len(config))
    for blob, data in zip((first, *blobs), (config, *layers), strict=True):
        client.put_blob(repository, blob, iter((data,)))
    document = image_manifest(first, blobs)
    client.put_manifest(repository, tag or document.digest, document)
    return document


def test_an_empty_registry(client: Client) -> None:
    found = catalogue(client)
    assert (found.tags, found.size) == ((), 0)


def test_a_layer_of_two_images_belongs_to_neither_alone(client: Client) -> None:
    base, mine, yours = b"b" * 1000, b"m" * 300, b"y" * 70
    push(client, "team/mine", "1", base, mine)
    push(client, "team/yours", "1", base, yours)
    found = catalogue(client)
    first, second = found.tags
    assert (first.repository, second.repository) == ("team/mine", "team/yours")
    assert found.unique(first) == first.size - 1000
    assert found.unique(second) == second.size - 1000
    assert found.size == first.size + second.size - 1000


def test_two_tags_of_one_image_do_not_share_it_away(client: Client) -> None:
    push(client, "app", "1", b"layer")
    push(client, "app", "latest", b"layer")
    push(client, "copy", "1", b"layer")
    found = catalogue(client)
    assert [one.tag for one in found.tags] == ["1", "latest", "1"]
    assert all(found.unique(one) == one.size == found.size for one in found.tags)


def test_an_index_has_the_bytes_of_its_platforms(client: Client) -> None:
    one, other = push(client, "app", None, b"amd"), push(client, "app", None, b"arm64")
    children = [child.descriptor.as_json() for child in (one, other)]
    index = Document(OCI_INDEX, canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}))
    client.put_manifest("app", "1", index)
    (found,) = catalogue(client).tags
    assert {index.digest, one.digest, other.digest, digests.of(b"amd")} <= found.blobs.keys()
    assert found.size > len(index.data) + len(one.data) + len(other.data)


@pytest.mark.security(12)
@pytest.mark.parametrize("body", [b"[" * 100_000, b"[]", b'{"tags": ["\\u001b[2J"]}', b'{"tags": [1]}', b"<html>"])
def test_non_list_of_names_is_refused(registry: Simulator, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of tags that is none, or has escape sequences in it → refused in words."""
    monkeypatch.setattr("sandbox.oci.response.Answer.content", property(lambda _: body))
    registry.manifests["app", "1"] = ("", "")
    with Client(registry.url) as client, pytest.raises(RegistryError, match="gave no list of tags"):
        client.tags("app")
