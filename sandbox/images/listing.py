"""What a registry holds: every tag with its size, and how much of that it shares with others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.oci.client import Client
from sandbox.oci.manifest import Index, parse


@dataclass(frozen=True)
class Listed:
    """A tag. `digest` is None when what it names is gone.

    `blobs` are the sizes in bytes, by digest, of all it needs: manifests, configurations, layers.
    """

    repository: str
    tag: str
    digest: str | None
    blobs: Mapping[str, int]

    @property
    def size(self) -> int:
        """Return its bytes, those that others need as well included."""
        return sum(self.blobs.values())


@dataclass(frozen=True)
class Catalogue:
    """All tags, sorted by their names."""

    tags: tuple[Listed, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all, each blob counted once, as the registry stores it."""
        return sum({digest: size for one in self.tags for digest, size in one.blobs.items()}.values())

    def unique(self, one: Listed) -> int:
        """Return the bytes that would be free if nothing named the image of `one` any more.

        Other tags of it do not count.
        """
        return sum(size for digest, size in one.blobs.items() if self._images[digest] == 1)

    @property
    def _images(self) -> Counter[str]:
        """In how many images each blob is."""
        images = {one.digest: one.blobs for one in self.tags}
        return Counter(digest for blobs in images.values() for digest in blobs)


def catalogue(client: Client) -> Catalogue:
    """Read all of a registry. Raises RegistryError, and SandboxError for a manifest that is none."""
    known: dict[str, Mapping[str, int]] = {}
    tags = []
    for repository in sorted(client.catalog()):
        for tag in sorted(client.tags(repository)):
            digest = client.manifest_digest(repository, tag)
            if digest is not None and digest not in known:
                known[digest] = _blobs(client, repository, digest)
            tags.append(Listed(repository, tag, digest, known.get(digest or "", {})))
    return Catalogue(tuple(tags))


def _blobs(client: Client, repository: str, digest: str) -> dict[str, int]:
    document = client.manifest(repository, digest)
    if document is None:  # a platform of an index that was never pushed, or is gone
        return {}
    found = {document.digest: len(document.data)}
    content = parse(document)
    if isinstance(content, Index):
        for child in content.manifests:
            found |= _blobs(client, repository, child.digest)
        return found
    return found | {blob.digest: blob.size for blob in (content.config, *content.layers) if not blob.is_foreign}
