"""The documents of an image, OCI or Docker schema 2: descriptors, manifests, indexes, as exact bytes with a digest."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from sandbox.config import json_text
from sandbox.oci import digest as digests
from sandbox.oci.oci_errors import BadImage

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = f"{OCI_LAYER}+gzip"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = (OCI_INDEX, DOCKER_LIST)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
LARGEST = 1 << 63  # bytes; sizes are of 64 bits (image-spec, descriptor.md)
# Annotations with an image's name in the index.json of a layout.
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"


class Compression(Enum):
    """The compression of layers in a registry; RAW costs nothing to make or unpack, for registries on this machine."""

    RAW = "raw"
    GZIP = "gzip"


@dataclass(frozen=True)
class Descriptor:
    """A reference from one document to another blob (OCI image-spec, descriptor.md).

    `size` is in bytes. `platform` is `os/architecture[/variant]`, given only inside an index.
    """

    media_type: str
    digest: str
    size: int
    platform: str | None = field(default=None, compare=False)
    annotations: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_attestation(self) -> bool:
        return self.annotations.get("vnd.docker.reference.type") == "attestation-manifest"

    def __str__(self) -> str:
        return f"{self.digest} ({self.platform or self.media_type})"

    def as_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True)
class Document:
    """A manifest or an index: bytes that are never rewritten, because their digest is their name."""

    media_type: str
    data: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        return digests.of(self.data)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, len(self.data))


@dataclass(frozen=True)
class Manifest:
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True)
class Index:
    """Several manifests under one name, one per platform, and their attestations."""

    manifests: tuple[Descriptor, ...]


def parse(document: Document) -> Manifest | Index:
    """Read a document. Raises BadImage when it is neither a manifest nor an index, or lacks a field."""
    try:
        content = json_text.document(document.data)
        if document.media_type in INDEXES:
            return Index(tuple(_descriptor(child) for child in content["manifests"]))
        return Manifest(_descriptor(content["config"]), tuple(_descriptor(layer) for layer in content["layers"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadImage(
            f"{document.digest} is not a valid image document",
            details=f"{document.media_type}: {error!r}",
            fix="build or pull the image again",
        ) from error


def document(data: bytes, media_type: str | None = None) -> Document:
    """Return bytes as a Document, typed by `media_type`, else by their own field. Raises BadImage."""
    if media_type in INDEXES + MANIFESTS:
        return Document(str(media_type), data)
    try:
        content = json_text.document(data)
    except ValueError as error:
        raise BadImage(f"{digests.of(data)} is not JSON", details=str(error)) from error
    own = content if isinstance(content, dict) else {}
    if own.get("mediaType") in INDEXES + MANIFESTS:
        return Document(own["mediaType"], data)
    return Document(OCI_INDEX if "manifests" in own else OCI_MANIFEST, data)


def image_manifest(config: Descriptor, layers: Sequence[Descriptor]) -> Document:
    """Return the OCI manifest of `config` and `layers`; the same input gives the same bytes, hence the same digest."""
    content = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.as_json(),
        "layers": [layer.as_json() for layer in layers],
    }
    return Document(OCI_MANIFEST, canonical(content))


def reduced(index: Document, keep: Mapping[str, Descriptor]) -> Document:
    """Return `index` with only the children whose digests are in `keep`, each replaced by its value there."""
    content = json_text.document(index.data)
    content["manifests"] = [
        {**child, **keep[child["digest"]].as_json()} for child in content["manifests"] if child["digest"] in keep
    ]
    return Document(index.media_type, canonical(content))


def diff_ids(config: bytes) -> tuple[str, ...]:
    """Return the digests of an image's uncompressed layers, bottom first (OCI image-spec, config.md, `rootfs`)."""
    try:
        return tuple(digests.checked(text) for text in json_text.document(config)["rootfs"]["diff_ids"] or ())
    except (ValueError, KeyError, TypeError) as error:
        raise BadImage(f"{digests.of(config)} is not an image configuration", details=repr(error)) from error


def chains(diff_ids: Iterable[str]) -> dict[str, str]:
    """Map the chain id of every layer to its diff id (OCI image-spec, config.md, "Layer ChainID")."""
    chains: dict[str, str] = {}
    chain = ""
    for diff_id in diff_ids:
        chain = digests.of(f"{chain} {diff_id}".encode()) if chain else diff_id
        chains[chain] = diff_id
    return chains


def canonical(content: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """Return JSON with sorted keys and no spaces: one content, one sequence of bytes."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="backslashreplace")  # a half of a surrogate pair stays the escape that it came as


def platform_name(content: Mapping[str, Any]) -> str:
    return "/".join(content[key] for key in ("os", "architecture", "variant") if content.get(key))


def _descriptor(content: Mapping[str, Any]) -> Descriptor:
    media_type, size, platform = content["mediaType"], content["size"], content.get("platform")
    if not isinstance(media_type, str):
        raise TypeError(f"{media_type!r} is not a media type")
    if not isinstance(size, int) or not 0 <= size < LARGEST:
        raise ValueError(f"{size!r} is not a size")
    return Descriptor(
        media_type=media_type,
        digest=digests.checked(content["digest"]),
        size=size,
        platform=platform_name(platform) if platform else None,
        annotations={str(key): str(value) for key, value in (content.get("annotations") or {}).items()},
    )
