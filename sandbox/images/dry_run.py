"""Predicts what a push would do, from questions only: nothing is built, saved, sent or deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sandbox.errors import SandboxError
from sandbox.images.image_lookup import Outcome, promises
from sandbox.images.images_yaml import Entry, FromBuild
from sandbox.images.lockfile import Promise, require
from sandbox.images.progress import Action, Ending, Observer
from sandbox.images.push import looking_up
from sandbox.images.sources.image_source import Daemon, EngineAccess, NotSaved
from sandbox.images.transfer import BlobInventory
from sandbox.oci.client import Client
from sandbox.oci.compression import Compression
from sandbox.oci.credential import Keychain
from sandbox.oci.image import Image
from sandbox.oci.reference import Target


@dataclass(frozen=True)
class Forecast:
    """What a push would do with one image.

    `action` is None for an image that would be built first, and so is not known. `blobs` and `size` (in bytes) are what
    would be sent for it; `exact` is False when `size` is an upper bound. `digest` and `source` are empty while unknown;
    `error` says why the image could not be pushed at all.
    """

    target: str
    action: Action | None
    blobs: int = 0
    size: int = 0
    exact: bool = True
    source: str = ""
    digest: str = ""
    error: SandboxError | None = None


def forecast(
    entries: Sequence[Entry],
    registry: str,
    daemon: Daemon | None = None,
    *,
    compression: Compression = Compression.RAW,
    promised: Mapping[Target, Promise] | None = None,
    keychain: Keychain | None = None,
    access: EngineAccess | None = None,
) -> tuple[Forecast, ...]:
    """Return what `push` would do, in the order of `entries`. Raises RegistryError, and Drift as `push` does.

    The size of a layer that only a save would give is not known, and its image gets an upper bound.
    """
    access = replace(access or EngineAccess(), saving=False)
    if compression is not Compression.RAW:
        access = replace(access, reading=False)
    with looking_up(registry, daemon, Ending(Observer()), access, compression, keychain) as lookup:
        local, failed = lookup.built([entry for entry in entries if not isinstance(entry, FromBuild)], lambda _: None)
        found: dict[Target, Outcome] = {**failed, **lookup.images(entries, local)}
        require(promised or {}, lookup.sources(local) | promises(found))
        inventory, pool = lookup.destination.inventory, lookup.destination.pool
        images = {target: image for target, image in found.items() if isinstance(image, Image)}
        places = {(target.repository, blob.digest) for target, image in images.items() for blob in image.blobs}
        list(pool.map(lambda place: inventory.size(*place), sorted(places)))
        forecaster = _Forecaster(lookup.destination.client, inventory)
        return tuple(forecaster(entry.target, found.get(entry.target)) for entry in entries)


class _Forecaster:
    """Goes through the images in their order; a blob counts for the first that needs it."""

    def __init__(self, client: Client, inventory: BlobInventory) -> None:
        self._client = client
        self._inventory = inventory
        self._sent: set[str] = set()

    def __call__(self, target: Target, found: Outcome | None) -> Forecast:
        match found:
            case None:
                return Forecast(str(target), None, exact=False)
            case NotSaved():
                layers = [digest for digest in found.image.diff_ids if self._missing(target.repository, digest)]
                size = int(found.image.content.get("Size") or 0) if layers else 0
                return Forecast(str(target), Action.UPLOADED, len(layers) + 1, size, False, found.image.id)
            case SandboxError():
                return Forecast(str(target), None, error=found)
            case Image():
                return self._image(target, found)

    def _image(self, target: Target, image: Image) -> Forecast:
        digest = image.root.digest
        linked = all(self._inventory.is_confirmed(target.repository, blob.digest) for blob in image.blobs)
        missing = [blob.size for blob in image.blobs if self._missing(target.repository, blob.digest)]
        published = image.published or self._client.manifest_digest(target.repository, target.tag or digest) == digest
        action = Action.UPLOADED if missing else Action.SKIPPED if published and linked else Action.MOUNTED
        return Forecast(str(target), action, len(missing), sum(missing), True, image.source or digest, digest)

    def _missing(self, repository: str, digest: str) -> bool:
        if self._inventory.size(repository, digest) is not None or self._inventory.anywhere(digest):
            return False
        if digest in self._sent:
            return False
        self._sent.add(digest)
        return True
