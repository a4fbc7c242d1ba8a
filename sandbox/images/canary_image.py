"""A tiny image that is always the same, pushed to test that a registry accepts images and nodes can pull them."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cache, partial

from sandbox.oci import digest as digests
from sandbox.oci.client import Client
from sandbox.oci.image import host_platform
from sandbox.oci.manifest import OCI_CONFIG, OCI_LAYER, Descriptor, Document, canonical, image_manifest

REPOSITORY = "sandbox/canary"


@cache
def document() -> Document:
    """Return the canary's manifest: one layer with one file, for the nodes' platform, as containerd requires."""
    config, layer = (_descriptor(media_type, data) for media_type, data in _blobs())
    return image_manifest(config, (layer,))


def place(client: Client) -> str:
    """Push the canary unless it is there; return its name without the registry, by digest. Raises RegistryError.

    It has no tag, so that it is in no list; a garbage collection may remove it, and the next call pushes it again.
    """
    if find(client) is None:
        manifest = document()
        for media_type, data in _blobs():
            client.upload(REPOSITORY, _descriptor(media_type, data), partial(_open, data))
        client.put_manifest(REPOSITORY, manifest.digest, manifest)
    return _name()


def find(client: Client) -> str | None:
    there = client.manifest_digest(REPOSITORY, document().digest)
    return None if there is None else _name()


def _name() -> str:
    return f"{REPOSITORY}@{document().digest}"


@cache
def _blobs() -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    said = b"pulled\n"
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("canary")
        info.size, info.mode = len(said), 0o444
        tar.addfile(info, io.BytesIO(said))
    data = layer.getvalue()
    system, architecture = host_platform().split("/")
    config = {
        "architecture": architecture,
        "os": system,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digests.of(data)]},
    }
    return (OCI_CONFIG, canonical(config)), (OCI_LAYER, data)


def _descriptor(media_type: str, data: bytes) -> Descriptor:
    return Descriptor(media_type, digests.of(data), len(data))


def _open(data: bytes) -> AbstractContextManager[Iterator[bytes]]:
    return contextlib.nullcontext(iter((data,)))
