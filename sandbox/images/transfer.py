"""The transfer of all images of a run to one registry: what it has, the plan, each blob once, documents and tags."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from sandbox.errors import SandboxError
from sandbox.images.progress import Observer
from sandbox.oci.client import Client, OpenBlob
from sandbox.oci.image import Image, MissingBlob, Origin
from sandbox.oci.manifest import Descriptor, Document
from sandbox.oci.oci_errors import BadImage, RegistryError
from sandbox.oci.reference import Target


class Fact(Enum):
    """How it became known that a blob is in a repository."""

    FOUND = "found"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


class BlobInventory:
    """The blobs of one registry, per repository, because a registry links blobs to repositories one by one.

    A tag that names a manifest vouches for its blobs, because registries accept no manifest with blobs missing. Of
    blobs that are vouched for in several repositories only one is looked up, which tells whether the bytes are still
    stored; with `thorough` each is looked up in each repository. Safe for use by several threads.
    """

    def __init__(self, client: Client, *, thorough: bool = False) -> None:
        self._client = client
        self._thorough = thorough
        self._lock = threading.Lock()
        self._sizes: dict[tuple[str, str], int] = {}
        self._absent: set[tuple[str, str]] = set()
        self._vouched: set[tuple[str, str]] = set()
        self._tags: dict[tuple[str, str], str | None] = {}
        self._homes: dict[str, tuple[str, int]] = {}
        self._facts: dict[tuple[str, str], Fact] = {}
        self._uploaded: dict[str, int] = {}

    def size(self, repository: str, digest: str) -> int | None:
        """Return the size of a blob that is in `repository`, else None; asks the registry once."""
        key = (repository, digest)
        known = self._sizes.get(key)
        if known is None and key in self._vouched and digest in self._homes:
            known = self._homes[digest][1]
            self.add(repository, digest, known, Fact.FOUND)
        if known is None and key not in self._absent:
            known = self._client.blob_size(repository, digest)
            if known is None:
                self._absent.add(key)
            else:
                self.add(repository, digest, known, Fact.FOUND)
        return known

    def named(self, repository: str, name: str) -> str | None:
        """Return the digest of what a tag or digest names, None when there is nothing; asks the registry once."""
        key = (repository, name)
        if key not in self._tags:
            self._tags[key] = self._client.manifest_digest(repository, name)
        return self._tags[key]

    def note(self, repository: str, name: str, digest: str | None) -> None:
        """Record what a tag or digest was found to name, None for nothing, so that it is not looked up again."""
        self._tags[repository, name] = digest

    def vouch(self, repository: str, name: str, root: Document, blobs: Iterable[Descriptor]) -> None:
        """Record that a tag or digest names `root` and that the registry therefore vouches for all of `blobs`."""
        self._tags[repository, name] = root.digest
        if not self._thorough:
            with self._lock:
                self._vouched.update((repository, blob.digest) for blob in blobs)

    def anywhere(self, digest: str) -> tuple[str, int] | None:
        """Return a repository known to hold the blob, and the blob's size, without asking."""
        with self._lock:
            return self._homes.get(digest)

    def has(self, repository: str, digest: str) -> bool:
        """Tell whether the blob is in `repository`, or known to be in another one, from where it can be mounted."""
        return self.size(repository, digest) is not None or self.anywhere(digest) is not None

    def add(self, repository: str, digest: str, size: int, fact: Fact) -> None:
        with self._lock:
            self._sizes[repository, digest] = size
            self._homes.setdefault(digest, (repository, size))
            self._facts.setdefault((repository, digest), fact)
            if fact is Fact.UPLOADED:
                self._uploaded[digest] = self._uploaded.get(digest, 0) + size

    def fact(self, repository: str, digest: str) -> Fact | None:
        return self._facts.get((repository, digest))

    def uploaded(self, digest: str) -> int:
        return self._uploaded.get(digest, 0)


@dataclass(frozen=True)
class Destination:
    """A registry and how to use it.

    `client` speaks to it, `inventory` knows what it has; `observer` gets the progress of threads in `pool`.
    """

    client: Client
    inventory: BlobInventory
    observer: Observer
    pool: Executor


@dataclass(frozen=True)
class Transfer:
    """One blob, and the repositories that need it.

    It is sent to `repositories[0]` at most once, from the first of `origins` that can give it, and mounted into the
    other repositories from there.
    """

    blob: Descriptor
    repositories: tuple[str, ...]
    origins: tuple[Origin, ...]
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Plan:
    """All transfers, the largest first, so that no large one runs alone at the end."""

    transfers: tuple[Transfer, ...]

    @property
    def size(self) -> int:
        return sum(transfer.blob.size for transfer in self.transfers)

    def needs(self, target: Target) -> frozenset[str]:
        """Return the digests of the blobs that must be in place before the documents of `target`."""
        return frozenset(transfer.blob.digest for transfer in self._of.get(target, ()))

    def charges(self, target: Target) -> tuple[Descriptor, ...]:
        """Return the blobs whose cost counts for `target`: those it is the first to need."""
        return tuple(transfer.blob for transfer in self._of.get(target, ()) if target == transfer.targets[0])

    @cached_property
    def _of(self) -> Mapping[Target, Sequence[Transfer]]:
        found: dict[Target, list[Transfer]] = {}
        for transfer in self.transfers:
            for target in transfer.targets:
                found.setdefault(target, []).append(transfer)
        return found


def plan_transfers(images: Mapping[Target, Image]) -> Plan:
    blobs: dict[str, Descriptor] = {}
    repositories: dict[str, dict[str, None]] = {}
    origins: dict[str, dict[int, Origin]] = {}
    targets: dict[str, dict[Target, None]] = {}
    for target, image in images.items():
        for blob in image.blobs:
            blobs.setdefault(blob.digest, blob)
            repositories.setdefault(blob.digest, {})[target.repository] = None
            origins.setdefault(blob.digest, {})[id(image.origin)] = image.origin
            targets.setdefault(blob.digest, {})[target] = None
    transfers = (
        Transfer(blob, tuple(repositories[digest]), tuple(origins[digest].values()), tuple(targets[digest]))
        for digest, blob in blobs.items()
    )
    return Plan(tuple(sorted(transfers, key=lambda transfer: (-transfer.blob.size, transfer.blob.digest))))


def carry(transfer: Transfer, destination: Destination) -> dict[str, SandboxError]:
    """Carry out a transfer; return the repositories that did not get the blob, each with the reason."""
    digest, repositories, inventory = transfer.blob.digest, transfer.repositories, destination.inventory
    failures: dict[str, SandboxError] = {}
    try:
        lacking = [name for name in repositories if inventory.size(name, digest) is None]
        while lacking and inventory.anywhere(digest) is None:
            try:
                _send(transfer, lacking[0], destination)
            except RegistryError as error:
                if error.transient:
                    raise
                failures[lacking[0]] = error  # this repository is closed to us; others may not be
            del lacking[0]
    except SandboxError as error:
        return dict.fromkeys(repositories, error)
    for repository in lacking:
        try:
            _mount(transfer, repository, destination)
        except SandboxError as error:
            failures[repository] = error
    return failures


def _send(transfer: Transfer, repository: str, destination: Destination) -> None:
    """Send the blob from the first origin that can give it completely."""
    problem: SandboxError | None = None
    for origin in transfer.origins:
        try:
            blob = _observed(lambda: origin.open(transfer.blob), destination.observer)  # noqa: B023
            destination.client.upload(repository, transfer.blob, blob)
        except SandboxError as error:
            problem = problem or error
        else:
            destination.inventory.add(repository, transfer.blob.digest, transfer.blob.size, Fact.UPLOADED)
            return
    raise problem or SandboxError(f"no source has {transfer.blob.digest}")


def _mount(transfer: Transfer, repository: str, destination: Destination) -> None:
    """Mount the blob from a repository that has it; if the registry refuses, copy it through this machine."""
    digest, client, inventory = transfer.blob.digest, destination.client, destination.inventory
    place = inventory.anywhere(digest)
    if place is None:
        raise SandboxError(f"{digest} is in no repository of the registry")
    source = place[0]
    try:
        begun = client.mount(repository, digest, source)
        if begun is None:
            inventory.add(repository, digest, transfer.blob.size, Fact.MOUNTED)
            return
    except RegistryError as error:
        if error.transient:
            raise
        begun = None
    copy = _observed(lambda: client.blob(source, digest), destination.observer)
    client.upload(repository, transfer.blob, copy, begun=begun)
    inventory.add(repository, digest, transfer.blob.size, Fact.UPLOADED)


def _observed(open_blob: OpenBlob, observer: Observer) -> OpenBlob:
    @contextlib.contextmanager
    def opened() -> Iterator[Iterator[bytes]]:
        with open_blob() as chunks:
            yield _counted(chunks, observer)

    return opened


def _counted(chunks: Iterator[bytes], observer: Observer) -> Iterator[bytes]:
    """Count what a source gives, whose own failure must not pass for one of the registry's connection."""
    try:
        for chunk in chunks:
            observer.sent(len(chunk))
            yield chunk
    except OSError as error:
        raise BadImage("a layer cannot be read to its end", details=str(error)) from error


def publish(target: Target, image: Image, destination: Destination) -> bool:
    """Publish `image` as `target`; returns False if it was already. Raises MissingBlob, RegistryError.

    Nothing is published, and nothing is reported as done, before the registry has confirmed every blob in this
    repository.
    """
    client, inventory = destination.client, destination.inventory
    for blob in image.blobs:
        if inventory.fact(target.repository, blob.digest) is None:
            raise MissingBlob(f"{target} is not complete in the registry", details=f"missing: {blob.digest}")
    root = image.root
    name = target.tag or root.digest
    if inventory.named(target.repository, name) == root.digest:
        return False
    for document in image.documents[:-1]:
        client.put_manifest(target.repository, document.digest, document)
    client.put_manifest(target.repository, name, root)
    found = client.manifest_digest(target.repository, name)
    if found != root.digest:
        raise RegistryError(
            f"{target} does not name what was pushed",
            details=f"pushed {root.digest}, the registry says {found}",
            fix="see who else writes this tag, then push again",
        )
    return True
