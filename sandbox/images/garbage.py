"""What a garbage collection of CNCF distribution deletes, read from its own words, with sizes asked of the registry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.images.target import Target
from sandbox.oci.client import Client

# registry/storage/garbagecollect.go
_BLOB = re.compile(r"^blob eligible for deletion: (sha256:[0-9a-f]{64})$", re.MULTILINE)
_LINK = re.compile(r"^(\S+): layer link eligible for deletion: (sha256:[0-9a-f]{64})$", re.MULTILINE)
_MANIFEST = re.compile(r"^manifest eligible for deletion: \{(\S+) (sha256:[0-9a-f]{64}) ", re.MULTILINE)


@dataclass(frozen=True)
class Garbage:
    """Manifests that nothing names, and the bytes and the number of all blobs that go with them."""

    manifests: tuple[str, ...]
    blobs: int
    size: int


def measure(client: Client, output: str) -> Garbage:
    """Return what the collection that says `output` would delete. Raises RegistryError.

    To be called before it is deleted. The size of a blob that no repository admits to is not known, and not counted.
    """
    doomed = frozenset(_BLOB.findall(output))
    manifests = [(repository, digest) for repository, digest in _MANIFEST.findall(output) if digest in doomed]
    sizes: dict[str, int] = {}
    for repository, digest in manifests:
        document = client.manifest(repository, digest)
        sizes[digest] = len(document.data) if document else 0
    for repository, digest in _LINK.findall(output):
        if digest in doomed and digest not in sizes:
            sizes[digest] = client.blob_size(repository, digest) or 0
    names = tuple(sorted({f"{repository}@{digest}" for repository, digest in manifests}))
    return Garbage(names, len(doomed), sum(sizes.values()))


@contextmanager
def kept(client: Client, targets: Iterable[Target]) -> Iterator[None]:
    """While it is entered, images of `targets` that only have a digest have a tag as well, and are no garbage."""
    tags = []
    for target in targets:
        document = client.manifest(target.repository, target.digest) if target.digest and not target.tag else None
        if document is not None:
            tag = f"kept-{document.digest.removeprefix('sha256:')[:16]}"
            client.put_manifest(target.repository, tag, document)
            tags.append((target.repository, tag))
    try:
        yield
    finally:
        for repository, tag in tags:
            client.delete_manifest(repository, tag)
