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
from sandbox.oci.compression import Compression
from sandbox.oci.credential import Keychain
from sandbox.oci.image import Image
from sandbox.oci.reference import Target


@dataclass(frozen=True)
class Forecast:
    """What a push would do with one image; `action` is None if it would be built first.

    `blobs` and `size` (in bytes) would be sent for it; `exact` is False when `size` is an upper bound.
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
    """Return what `push` would do, in the order of `entries`; a blob counts for the first image that needs it."""
    access = replace(access or EngineAccess(), saving=False)
    if compression is not Compression.RAW:
        access = replace(access, reading=False)
    with looking_up(registry, daemon, Ending(Observer()), access, compression, keychain) as lookup:
        local, failed = lookup.built([entry for entry in entries if not isinstance(entry, FromBuild)], lambda _: None)
        outcomes: dict[Target, Outcome] = {**failed, **lookup.images(entries, local)}
        require(promised or {}, lookup.sources(local) | promises(outcomes))
        client, inventory = lookup.destination.client, lookup.destination.inventory
        images = {target: image for target, image in outcomes.items() if isinstance(image, Image)}
        places = {(target.repository, blob.digest) for target, image in images.items() for blob in image.blobs}
        list(lookup.destination.pool.map(lambda place: inventory.size(*place), sorted(places)))
        planned: set[str] = set()

        def would_send(repository: str, digest: str) -> bool:
            if inventory.size(repository, digest) is not None or inventory.anywhere(digest) or digest in planned:
                return False
            planned.add(digest)
            return True

        def predicted(target: Target) -> Forecast:
            image, name, repository = outcomes.get(target), str(target), target.repository
            if image is None:
                return Forecast(name, None, exact=False)
            if isinstance(image, NotSaved):
                inspected = image.image
                layers = [digest for digest in inspected.diff_ids if would_send(repository, digest)]
                size = int(inspected.content.get("Size") or 0) if layers else 0
                return Forecast(name, Action.UPLOADED, len(layers) + 1, size, False, inspected.id)
            if isinstance(image, SandboxError):
                return Forecast(name, None, error=image)
            digest = image.root.digest
            linked = all(inventory.is_confirmed(repository, blob.digest) for blob in image.blobs)
            sizes = [blob.size for blob in image.blobs if would_send(repository, blob.digest)]
            published = image.published or client.manifest_digest(repository, target.tag or digest) == digest
            action = Action.UPLOADED if sizes else Action.SKIPPED if published and linked else Action.MOUNTED
            return Forecast(name, action, len(sizes), sum(sizes), True, image.source or digest, digest)

        return tuple(predicted(entry.target) for entry in entries)
