"""Images out of a registry into a layout."""

from __future__ import annotations

from pathlib import Path

from sandbox.images.export_layout import write_layout
from sandbox.images.sources.layout import layout_image
from sandbox.oci import manifest as manifests
from sandbox.oci.client import Client
from sandbox.oci.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor
from sandbox.oci.reference import parse_target
from tests.support.images import digest_of
from tests.support.registry_simulator import Simulator


def test_layout_has_every_blob_of_an_image(registry: Simulator, tmp_path: Path) -> None:
    config, layer = b"{}", b"layer"
    packed = digest_of(layer)
    image = manifests.image_manifest(
        Descriptor(OCI_CONFIG, digest_of(config), len(config)), [Descriptor(OCI_LAYER, packed, len(layer))]
    )
    registry.manifests["app", "1"] = (OCI_MANIFEST, image.digest)
    registry.content |= {image.digest: image.data, digest_of(config): config, packed: layer}
    registry.links |= {("app", digest_of(config)), ("app", packed)}
    with Client(registry.url) as client:
        target = parse_target("app:1")
        assert write_layout(client, [target], tmp_path / "layout") == {target: image.digest}
    assert [blob.digest for blob in layout_image(tmp_path / "layout", "app:1").blobs] == [digest_of(config), packed]
