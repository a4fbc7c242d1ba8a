"""The transfer of all images of a run to one registry: what it has, each blob once, documents and tags."""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sandbox.errors import SandboxError
from sandbox.images.sources.image_source import Unreadable
from sandbox.oci.client import Client, OpenBlob
from sandbox.oci.digest import DigestMismatch
from sandbox.oci.image import Image, MissingBlob, Origin
from sandbox.oci.manifest import Descriptor
from sandbox.oci.oci_errors import BadImage, RegistryError
from sandbox.oci.reference import Target

RENEW = "pull, build or write the image again at its source"


class BlobInventory:
    """The blobs of one registry, per repository, because a registry links blobs to repositories one by one.

    A tag that names a manifest vouches for its blobs, because registries accept no manifest with blobs missing. Of
    blobs that are vouched for in several repositories only one is looked up; with `thorough` each in each repository.
    Safe for use by several threads.
    """

    def __init__(self, client: Client, *, thorough: bool = False) -> None:
        self._client = client
        self._thorough = thorough
        self._sizes: dict[tuple[str, str], int | None] = {}  # None: the repository does not have the blob
        self._vouched: set[tuple[str, str]] = set()
        self._homes: dict[str, tuple[str, int]] = {}
        self._locks: dict[str, threading.Lock] = {}

    def size(self, repository: str, digest: str) -> int | None:
        """Return the size of a blob that is in `repository`, else None; asks the registry once."""
        key = (repository, digest)
        with self._locks.setdefault(digest, threading.Lock()):  # several images may need it at the same moment
            if key not in self._sizes:
                home = self._homes.get(digest) if key in self._vouched else None
                size = home[1] if home else self._client.blob_size(repository, digest)
                self._sizes[key] = size
                if size is not None:
                    self._homes.setdefault(digest, (repository, size))
            return self._sizes[key]

    def vouch(self, repository: str, blobs: Iterable[Descriptor]) -> None:
        if not self._thorough:
            self._vouched.update((repository, blob.digest) for blob in blobs)

    def anywhere(self, digest: str) -> tuple[str, int] | None:
        """Return a repository that has the blob, and the blob's size, without asking."""
        return self._homes.get(digest)

    def is_confirmed(self, repository: str, digest: str) -> bool:
        return self._sizes.get((repository, digest)) is not None

    def add(self, repository: str, digest: str, size: int) -> None:
        self._homes.setdefault(digest, (repository, size))
        self._sizes[repository, digest] = size


@dataclass(frozen=True)
class Destination:
    client: Client
    inventory: BlobInventory
    sent: Callable[[int], None]
    pool: Executor
    dry: bool = False  # nothing is changed


@dataclass(frozen=True)
class Transfer:
    """A blob and the repositories that need it; it is read from the origin of the `first` image that needs it."""

    blob: Descriptor
    repositories: tuple[str, ...]
    origin: Origin
    first: Target


class Carried(NamedTuple):
    """The bytes sent for a transfer and its first image, the repositories that got the blob, and why others did not."""

    first: Target
    sent: int
    brought: Collection[str]
    failures: Mapping[str, SandboxError]


def plan_transfers(images: Mapping[Target, Image]) -> list[Transfer]:
    """Return one transfer for each blob, the largest first, so that no large one runs alone at the end."""
    needed: dict[str, list[tuple[Target, Image, Descriptor]]] = {}
    for target, image in images.items():
        for blob in image.blobs:
            needed.setdefault(blob.digest, []).append((target, image, blob))
    transfers = []
    for uses in needed.values():
        target, image, blob = uses[0]
        repositories = tuple(dict.fromkeys(user.repository for user, _, _ in uses))
        transfers.append(Transfer(blob, repositories, image.origin, target))
    return sorted(transfers, key=lambda transfer: (-transfer.blob.size, transfer.blob.digest))


def carry(transfer: Transfer, destination: Destination) -> Carried:
    """Send the blob to one repository that lacks it, and mount it from there into the others."""
    digest, inventory = transfer.blob.digest, destination.inventory
    try:
        lacking = [name for name in transfer.repositories if inventory.size(name, digest) is None]
    except SandboxError as error:
        return Carried(transfer.first, 0, (), dict.fromkeys(transfer.repositories, error))
    if destination.dry:
        return Carried(transfer.first, 0 if inventory.anywhere(digest) else transfer.blob.size, lacking, {})
    sent, brought, failures = 0, list[str](), dict[str, SandboxError]()
    while lacking:
        repository = lacking.pop(0)
        try:
            sent += _bring(transfer, repository, destination)
            inventory.add(repository, digest, transfer.blob.size)
            brought.append(repository)
        except SandboxError as error:
            failures[repository] = error
            if not isinstance(error, RegistryError) or error.transient:  # else other repositories may take the blob
                failures |= dict.fromkeys(lacking, error)
                break
    return Carried(transfer.first, sent, brought, failures)


def _bring(transfer: Transfer, repository: str, destination: Destination) -> int:
    client, blob = destination.client, transfer.blob
    open_blob: OpenBlob = partial(transfer.origin.open, blob)
    begun: str | None = None
    if home := destination.inventory.anywhere(blob.digest):
        open_blob = partial(client.blob, home[0], blob.digest)
        try:
            begun = client.mount(repository, blob.digest, home[0])
            if begun is None:
                return 0
        except RegistryError as error:
            if error.transient:
                raise
    content = partial(_counted, open_blob, destination.sent)
    try:
        client.upload(repository, blob, content, begun=begun)
    except Unreadable:  # the container that reads the engine's files may have ended: the next one is another
        client.upload(repository, blob, content)
    except DigestMismatch as error:
        error.fix = RENEW
        raise
    return blob.size


@contextlib.contextmanager
def _counted(open_blob: OpenBlob, sent: Callable[[int], None]) -> Iterator[Iterator[bytes]]:
    def counted(chunks: Iterable[bytes]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                sent(len(chunk))
                yield chunk
        except OSError as error:  # of the source, not of the registry's connection
            raise BadImage("a layer cannot be read to its end", details=str(error)) from error

    with open_blob() as chunks:
        yield counted(chunks)


def publish(target: Target, image: Image, destination: Destination) -> None:
    """Upload the manifests of `image`, and tag it `target` in the registry. Raises MissingBlob, RegistryError.

    Nothing is published before the registry has confirmed every blob in this repository.
    """
    client, root = destination.client, image.root
    for blob in image.blobs:
        if not destination.inventory.is_confirmed(target.repository, blob.digest):
            raise MissingBlob(f"{target} is not complete in the registry", details=f"missing: {blob.digest}")
    name = target.tag or root.digest
    for document in image.documents[:-1]:
        client.put_manifest(target.repository, document.digest, document)
    client.put_manifest(target.repository, name, root)
    digest = client.manifest_digest(target.repository, name)
    if digest != root.digest:
        raise RegistryError(
            f"{target} does not name what was pushed",
            details=f"pushed {root.digest}, the registry says {digest}",
            fix="see who else writes this tag, then push again",
        )
