"""Images of another registry, read through the same client that writes to the sandbox's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sandbox.oci.client import Client
from sandbox.oci.image import Image, MissingBlob, choose, fits, walk
from sandbox.oci.manifest import Descriptor, Document, Index, parse
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import DOCKER_HUB, DOCKER_HUB_API, Reference


@dataclass(frozen=True)
class Remote:
    """The image `reference` of the registry that `client` speaks to.

    Of an index only `platforms` are copied. Without any, a tag is reduced to `platform`, the one the sandbox's nodes
    run, if the index says which that is, as one of indexes may not; a digest promises exact bytes, so all its platforms
    are copied.
    """

    client: Client
    reference: Reference
    platform: str
    platforms: tuple[str, ...] = ()

    def image(self) -> Image:
        named = root = self._read(self.reference.name)
        if named is None or root is None:
            raise BadImage(
                f"there is no image {self.reference.familiar}",
                details=f"{self.client.url} does not know it",
                fix="check its name and tag",
            )
        content = parse(root)
        if isinstance(content, Index) and (wanted := self._wanted(content)):
            chosen = choose(root, wanted, self.reference.familiar)
            root = chosen if isinstance(chosen, Document) else self._child(chosen)
        return replace(walk(root, self._child, name=self.reference.familiar).image(self), source=named.digest)

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        with self.client.blob(self.reference.path, blob.digest) as chunks:
            yield chunks

    def _wanted(self, content: Index) -> tuple[str, ...]:
        """Return the platforms to which an index is reduced, none for all of it: of an index nodes choose themselves.

        They look into what says no platform, which is optional (image-spec, image-index.md).
        """
        if self.platforms or self.reference.digest:
            return self.platforms
        said = [child.platform or "" for child in content.manifests if not child.is_attestation]
        return (self.platform,) if all(said) or any(fits(one, self.platform) for one in said) else ()

    def _child(self, child: Descriptor) -> Document:
        document = self._read(child.digest)
        if document is None:
            raise MissingBlob(
                f"{self.reference.familiar} is not complete in its registry",
                details=f"missing: {child}",
                fix="choose another tag, or tell the image's publisher",
            )
        return document

    def _read(self, name: str) -> Document | None:
        return self.client.manifest(self.reference.path, name)


def api_host(reference: Reference) -> str:
    """Return the host that serves the API for a reference; Docker Hub's differs from its name."""
    return DOCKER_HUB_API if reference.host == DOCKER_HUB else reference.host
