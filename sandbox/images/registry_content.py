"""The content of a registry: tags with sizes, deletion of tags that images.yaml does not name, and garbage."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

from sandbox.oci.client import Client
from sandbox.oci.manifest import Document, Index, parse
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.reference import Target

ADDONS = "addons/"  # prefix of the repositories with the images of addons, which are pushed and removed with these


@dataclass(frozen=True)
class Tag:
    """`digest` is None when the manifest is gone. `blobs` are the sizes in bytes of everything it needs, by digest."""

    repository: str
    tag: str
    digest: str | None
    blobs: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"

    @property
    def size(self) -> int:
        return sum(self.blobs.values())


@dataclass(frozen=True)
class Catalogue:
    tags: tuple[Tag, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all, each blob counted once, as the registry stores it."""
        return sum({digest: size for tag in self.tags for digest, size in tag.blobs.items()}.values())

    def unique(self, tag: Tag) -> int:
        """Return the bytes that would be freed without the image of `tag`; other tags of it do not count."""
        return sum(size for digest, size in tag.blobs.items() if self._images[digest] == 1)

    @cached_property
    def _images(self) -> Counter[str]:
        images = {tag.digest: tag.blobs for tag in self.tags}
        return Counter(digest for blobs in images.values() for digest in blobs)


def catalogue(client: Client) -> Catalogue:
    blobs: dict[str | None, Mapping[str, int]] = {None: {}}
    tags = []
    for tag in _tags(client, lambda _: True):
        if tag.digest is not None and tag.digest not in blobs:
            blobs[tag.digest] = _blobs(client, tag.repository, tag.digest)
        tags.append(replace(tag, blobs=blobs[tag.digest]))
    return Catalogue(tuple(tags))


def _blobs(client: Client, repository: str, digest: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for document in _documents(client, repository, [digest]).values():
        content = parse(document)
        sizes[document.digest] = len(document.data)
        if not isinstance(content, Index):
            sizes |= {blob.digest: blob.size for blob in (content.config, *content.layers)}
    return sizes


def _documents(client: Client, repository: str, names: Iterable[str]) -> dict[str, Document]:
    """Return the manifests of `names` and of their platforms, by digest, platforms first; missing ones are left out."""
    documents: dict[str, Document] = {}
    for name in names:
        document = client.manifest(repository, name)
        if document is None or document.digest in documents:
            continue
        content = parse(document)
        if isinstance(content, Index):
            documents |= _documents(client, repository, [child.digest for child in content.manifests])
        documents[document.digest] = document
    return documents


def image_size(client: Client, repository: str, tag: str | None) -> int:
    digest = client.manifest_digest(repository, tag) if tag else None
    return sum(_blobs(client, repository, digest).values()) if digest else 0


def _tags(client: Client, has: Callable[[str], bool]) -> Iterator[Tag]:
    for repository in sorted(filter(has, client.catalog())):
        for tag in sorted(client.tags(repository)):
            yield Tag(repository, tag, client.manifest_digest(repository, tag))


def unlisted(client: Client, targets: Iterable[Target]) -> tuple[Tag, ...]:
    named = {(target.repository, target.tag) for target in targets}
    tags = _tags(client, lambda name: not name.startswith(ADDONS))
    return tuple(tag for tag in tags if (tag.repository, tag.tag) not in named)


def tagged_below(client: Client, prefix: str) -> tuple[Tag, ...]:
    return tuple(_tags(client, lambda name: name.startswith(prefix)))


def prune(client: Client, chosen: Sequence[Tag], targets: Iterable[Target]) -> None:
    """Delete the tags `chosen`, and the manifests that none of `targets` and no other tag names or contains."""
    by_digest = [target for target in targets if target.tag is None]
    for repository in dict.fromkeys(tag.repository for tag in chosen):
        tags = {tag.tag: tag for tag in chosen if tag.repository == repository}
        staying = [tag for tag in client.tags(repository) if tag not in tags]
        staying += [str(target.digest) for target in by_digest if target.repository == repository]
        kept = _documents(client, repository, staying)
        for tag in tags.values():
            if tag.digest is None or tag.digest in kept:
                _delete(client, repository, tag.tag)
        unnamed = _documents(client, repository, [tag.digest for tag in tags.values() if tag.digest])
        for digest in reversed([digest for digest in unnamed if digest not in kept]):
            _delete(client, repository, digest)


def _delete(client: Client, repository: str, reference: str) -> None:
    try:
        client.delete_manifest(repository, reference)
    except RegistryError as error:
        if error.status in (400, 405):  # of distribution 2, and of registries that are configured so
            error.fix = "list the tag in images.yaml, or use distribution 3 with REGISTRY_STORAGE_DELETE_ENABLED=true"
        raise


# registry/storage/garbagecollect.go
_BLOB = re.compile(r"^blob eligible for deletion: (sha256:[0-9a-f]{64})$", re.MULTILINE)
_LINK = re.compile(r"^(\S+): layer link eligible for deletion: (sha256:[0-9a-f]{64})$", re.MULTILINE)
_MANIFEST = re.compile(r"^manifest eligible for deletion: \{(\S+) (sha256:[0-9a-f]{64}) ", re.MULTILINE)


@dataclass(frozen=True)
class Garbage:
    """Unreferenced manifests, the number of all blobs that are deleted with them, and all bytes.

    `leftovers` is the number of unfinished uploads and of damaged blobs that were moved aside.
    """

    manifests: tuple[str, ...]
    blobs: int
    size: int
    leftovers: int = 0


def measure_garbage(client: Client, output: str, leftovers: Mapping[str, int]) -> Garbage:
    """Return what the garbage collection with this `output` would delete, and `leftovers`, sizes of other files."""
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
    return Garbage(names, len(doomed), sum(sizes.values()) + sum(leftovers.values()), len(leftovers))


@contextmanager
def tagged(client: Client, targets: Iterable[Target]) -> Iterator[None]:
    """Yield while images of `targets` that only have a digest also have a tag, so that they are no garbage."""
    with ExitStack() as tags:
        for target in targets:
            document = client.manifest(target.repository, target.digest) if target.digest and not target.tag else None
            if document is not None:
                tag = f"kept-{document.digest.removeprefix('sha256:')[:16]}"
                client.put_manifest(target.repository, tag, document)
                tags.callback(client.delete_manifest, target.repository, tag)
        yield
