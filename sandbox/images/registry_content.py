"""The content of a registry: tags with sizes, deletion of tags that no manifest of images names, and garbage."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property

from sandbox.errors import SandboxError
from sandbox.oci.client import Client
from sandbox.oci.manifest import Index, parse
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.reference import Target

ADDONS = "addons/"  # prefix of the repositories with the images of addons, which are pushed and removed with these


@dataclass(frozen=True)
class ListedTag:
    """A tag.

    `digest` is None when its manifest is gone. `blobs` are the sizes in bytes, by digest, of everything it needs:
    manifests, configurations, layers.
    """

    repository: str
    tag: str
    digest: str | None
    blobs: Mapping[str, int]

    @property
    def size(self) -> int:
        return sum(self.blobs.values())


@dataclass(frozen=True)
class Catalogue:
    """All tags, sorted by their names."""

    tags: tuple[ListedTag, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all, each blob counted once, as the registry stores it."""
        return sum({digest: size for one in self.tags for digest, size in one.blobs.items()}.values())

    def unique(self, one: ListedTag) -> int:
        """Return the bytes that would be freed without the image of `one`; other tags of it do not count."""
        return sum(size for digest, size in one.blobs.items() if self._images[digest] == 1)

    @cached_property
    def _images(self) -> Counter[str]:
        images = {one.digest: one.blobs for one in self.tags}
        return Counter(digest for blobs in images.values() for digest in blobs)


def catalogue(client: Client) -> Catalogue:
    known: dict[str, Mapping[str, int]] = {}
    tags = []
    for repository, tag in _tags(client):
        digest = client.manifest_digest(repository, tag)
        if digest is not None and digest not in known:
            known[digest] = _blobs(client, repository, digest)
        tags.append(ListedTag(repository, tag, digest, known.get(digest or "", {})))
    return Catalogue(tuple(tags))


def _tags(client: Client, wanted: Callable[[str], bool] = lambda _: True) -> Iterator[tuple[str, str]]:
    for repository in sorted(filter(wanted, client.catalog())):
        yield from ((repository, tag) for tag in sorted(client.tags(repository)))


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
    return found | {blob.digest: blob.size for blob in (content.config, *content.layers)}


def image_size(client: Client, repository: str, tag: str | None) -> int:
    """Return the bytes of all that a tag needs, 0 where there is none. Raises RegistryError."""
    digest = client.manifest_digest(repository, tag) if tag else None
    return sum(_blobs(client, repository, digest).values()) if digest else 0


@dataclass(frozen=True)
class Unlisted:
    """A tag that no manifest of images names; `digest` is None when its manifest is gone already."""

    repository: str
    tag: str
    digest: str | None

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def unlisted(client: Client, targets: Iterable[Target]) -> tuple[Unlisted, ...]:
    """Return the registry's tags that are not among `targets` and no addon's, sorted. Raises RegistryError."""
    named = {(target.repository, target.tag) for target in targets}
    others = (one for one in _tags(client, lambda name: not name.startswith(ADDONS)) if one not in named)
    return tuple(Unlisted(*one, client.manifest_digest(*one)) for one in others)


def tagged_below(client: Client, prefix: str) -> tuple[Unlisted, ...]:
    return tuple(
        Unlisted(*one, client.manifest_digest(*one)) for one in _tags(client, lambda name: name.startswith(prefix))
    )


def prune(client: Client, chosen: Sequence[Unlisted], targets: Iterable[Target]) -> None:
    """Delete the tags `chosen`, and the manifests that nothing else names.

    Of a manifest that one of `targets`, or a tag that is not chosen, names or contains, only the tag is deleted; what
    is deleted by its digest can be reclaimed by the registry's garbage collection. Raises RegistryError.
    """
    wanted = tuple(targets)
    for repository in dict.fromkeys(one.repository for one in chosen):
        here = [one for one in chosen if one.repository == repository]
        gone = {one.tag for one in here}
        staying = [tag for tag in client.tags(repository) if tag not in gone]
        staying += [str(one.digest) for one in wanted if one.repository == repository and one.tag is None]
        kept = _below(client, repository, staying)
        for one in here:
            if one.digest is None or one.digest in kept:
                _untag(client, one)
        lost = _below(client, repository, [one.digest for one in here if one.digest and one.digest not in kept])
        for digest in reversed([digest for digest in lost if digest not in kept]):
            _delete(client, repository, digest)


def _below(client: Client, repository: str, names: Iterable[str]) -> dict[str, None]:
    """Return the digests of the manifests that `names` name or contain, children first."""
    found: dict[str, None] = {}
    for name in names:
        document = client.manifest(repository, name)
        if document is None or document.digest in found:
            continue
        content = parse(document)
        if isinstance(content, Index):
            found |= _below(client, repository, [child.digest for child in content.manifests])
        found[document.digest] = None
    return found


def _untag(client: Client, one: Unlisted) -> None:
    try:
        _delete(client, one.repository, one.tag)
    except RegistryError as error:
        if error.status != 400:
            raise
        raise SandboxError(
            f"this registry cannot delete the tag {one} alone",
            details=f"other tags, which stay, name the same image {one.digest}",
            fix="use distribution 3 or newer, or list the tag in the manifest",
        ) from error


def _delete(client: Client, repository: str, reference: str) -> None:
    try:
        client.delete_manifest(repository, reference)
    except RegistryError as error:
        if error.status != 405:
            raise
        raise SandboxError(
            "the registry does not allow deletion",
            details=str(error),
            fix="start it with REGISTRY_STORAGE_DELETE_ENABLED=true",
        ) from error


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
    """Return what the garbage collection with this `output` would delete. Raises RegistryError.

    `leftovers` are the sizes of what is deleted too. Call it before the deletion. The size of a blob that no repository
    admits to is not known, and not counted.
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
