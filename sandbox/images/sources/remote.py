"""Images of another registry, read through the same client that writes to the sandbox's."""

from __future__ import annotations

from dataclasses import replace

from sandbox.oci.client import Client, InRegistry
from sandbox.oci.image import Image, MissingBlob, choose, fits, walk
from sandbox.oci.manifest import Descriptor, Document, Index, parse
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import Reference


def remote_image(client: Client, reference: Reference, platform: str, platforms: tuple[str, ...] = ()) -> Image:
    """Return an image with only `platforms`; without any, a tag is reduced to `platform`, a digest is copied whole."""
    name = reference.familiar
    named = client.manifest(reference.path, reference.name)
    if named is None:
        details = f"{client.url} does not know it"
        raise BadImage(f"there is no image {name}", details=details, fix="check its name and tag")

    def child(descriptor: Descriptor) -> Document:
        document = client.manifest(reference.path, descriptor.digest)
        if document is None:
            raise MissingBlob(
                f"{name} is not complete in its registry",
                details=f"missing: {descriptor}",
                fix="choose another tag, or tell the image's publisher",
            )
        return document

    root, content = named, parse(named)
    if isinstance(content, Index) and not platforms and not reference.digest:
        # A child may name no platform (image-spec, image-index.md). Nodes choose from such an index themselves.
        existing = [child.platform or "" for child in content.manifests if not child.is_attestation]
        if all(existing) or any(fits(text, platform) for text in existing):
            platforms = (platform,)
    if isinstance(content, Index) and platforms:
        chosen = choose(root, platforms, name)
        root = chosen if isinstance(chosen, Document) else child(chosen)
    return replace(walk(root, child, InRegistry(client, reference.path), name=name), source=named.digest)
