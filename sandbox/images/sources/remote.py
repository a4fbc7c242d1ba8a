"""Images of another registry, read through the same client that writes to the sandbox's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from sandbox.oci.client import Client
from sandbox.oci.image import Image, MissingBlob, choose, fits, walk
from sandbox.oci.manifest import Descriptor, Document, Index, parse
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import Reference


@dataclass(frozen=True)
class Remote:
    """The image `reference` of the registry of `client`.

    Of an index only `platforms` are copied. Without any, a tag is reduced to `platform`, the one the sandbox's nodes
    run; a digest promises exact bytes, so all its platforms are copied.
    """

    client: Client
    reference: Reference
    platform: str
    platforms: tuple[str, ...] = ()

    def image(self) -> Image:
        name = self.reference.familiar
        named = self.client.manifest(self.reference.path, self.reference.name)
        if named is None:
            details = f"{self.client.url} does not know it"
            raise BadImage(f"there is no image {name}", details=details, fix="check its name and tag")
        root, content, platforms = named, parse(named), self.platforms
        if isinstance(content, Index) and not platforms and not self.reference.digest:
            # A child may name no platform (image-spec, image-index.md). Nodes choose from such an index themselves.
            existing = [child.platform or "" for child in content.manifests if not child.is_attestation]
            if all(existing) or any(fits(platform, self.platform) for platform in existing):
                platforms = (self.platform,)
        if isinstance(content, Index) and platforms:
            chosen = choose(root, platforms, name)
            root = chosen if isinstance(chosen, Document) else self._child(chosen)
        return replace(walk(root, self._child, name=name).image(self), source=named.digest)

    def open(self, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        return self.client.blob(self.reference.path, blob.digest)

    def _child(self, child: Descriptor) -> Document:
        document = self.client.manifest(self.reference.path, child.digest)
        if document is None:
            raise MissingBlob(
                f"{self.reference.familiar} is not complete in its registry",
                details=f"missing: {child}",
                fix="choose another tag, or tell the image's publisher",
            )
        return document
