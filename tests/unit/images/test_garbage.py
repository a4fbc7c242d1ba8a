"""What a garbage collection would delete, measured before it does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.images.garbage import Garbage, kept, measure
from sandbox.images.target import Target
from sandbox.oci import digest as digests
from sandbox.oci.client import Client
from sandbox.oci.manifest import OCI_LAYER, Descriptor
from tests.support.registry_simulator import Simulator
from tests.unit.images.test_listing import push


@pytest.fixture
def client() -> Iterator[Client]:
    with Simulator() as registry, Client(registry.url) as client:
        yield client


def test_empty_registry_has_nothing_to_delete(client: Client) -> None:
    said = "app\napp: marking manifest sha256:1 \n\n3 blobs marked, 0 blobs and 0 manifests eligible for deletion\n"
    assert measure(client, said) == Garbage((), 0, 0)


def test_manifests_and_blobs_count_each_once(client: Client) -> None:
    document = push(client, "app", None, b"layer")
    blob = Descriptor(OCI_LAYER, digests.of(b"aborted push"), 12)
    client.put_blob("app", blob, iter((b"aborted push",)))
    client.put_blob("other", blob, iter((b"aborted push",)))
    nowhere = digests.of(b"no one admits to it")
    doomed = "".join(f"blob eligible for deletion: {one}\n" for one in (document.digest, blob.digest, nowhere))
    said = (
        f"manifest eligible for deletion: {{app {document.digest} [1 2]}}\n\n"
        f"0 blobs marked, 3 blobs and 1 manifests eligible for deletion\n{doomed}"
        f"app: layer link eligible for deletion: {blob.digest}\n"
        f"other: layer link eligible for deletion: {blob.digest}\n"
    )
    assert measure(client, said) == Garbage((f"app@{document.digest}",), 3, len(document.data) + 12)


def test_a_link_to_a_blob_that_stays_elsewhere_frees_nothing(client: Client) -> None:
    blob = Descriptor(OCI_LAYER, digests.of(b"shared"), 6)
    client.put_blob("app", blob, iter((b"shared",)))
    assert measure(client, f"app: layer link eligible for deletion: {blob.digest}\n") == Garbage((), 0, 0)


def test_images_wanted_by_digest_are_tagged_during_collection(client: Client) -> None:
    document = push(client, "app", None, b"layer")
    tagged, gone = Target("app", "1"), Target("app", None, digests.of(b"gone"))
    with kept(client, [Target("app", None, document.digest), tagged, gone]):
        (tag,) = client.tags("app")
        assert client.manifest_digest("app", tag) == document.digest
    assert client.tags("app") == ()
    assert client.manifest_digest("app", document.digest) == document.digest
