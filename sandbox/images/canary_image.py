"""A tiny image that is always the same, pushed to test that a registry accepts images and nodes can pull them."""

import io
import tarfile
from functools import cache, partial

from sandbox.oci import digest as digests
from sandbox.oci.client import Client
from sandbox.oci.image import host_platform
from sandbox.oci.manifest import OCI_CONFIG, OCI_LAYER, Descriptor, Document, canonical, image_manifest

REPOSITORY = "sandbox/canary"


def document() -> Document:
    """Return the canary's manifest: one layer with one file, for the nodes' platform, as containerd requires."""
    config, layer = _blobs()
    return image_manifest(config, (layer,))


def place(client: Client) -> str:
    """Push the canary unless it is there; return its name without the registry, by digest. It has no tag."""
    if client.manifest_digest(REPOSITORY, document().digest) is None:
        for blob, data in _blobs().items():
            client.upload(REPOSITORY, blob, partial(io.BytesIO, data))
        client.put_manifest(REPOSITORY, document().digest, document())
    return f"{REPOSITORY}@{document().digest}"


@cache
def _blobs() -> dict[Descriptor, bytes]:
    content, packed = b"pulled\n", io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("canary")
        info.size, info.mode = len(content), 0o444
        tar.addfile(info, io.BytesIO(content))
    layer = packed.getvalue()
    system, architecture = host_platform().split("/")
    rootfs = {"type": "layers", "diff_ids": [digests.of(layer)]}
    config = canonical({"architecture": architecture, "os": system, "config": {}, "rootfs": rootfs})
    blobs = {OCI_CONFIG: config, OCI_LAYER: layer}
    return {Descriptor(kind, digests.of(data), len(data)): data for kind, data in blobs.items()}
