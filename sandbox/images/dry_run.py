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
from sandbox.images.sources.image_source import Daemon, EngineAccess
from sandbox.oci.compression import Compression
from sandbox.oci.credential import Keychain
from sandbox.oci.image import Image
from sandbox.oci.reference import Target


@dataclass(frozen=True)
class Forecast:
    """What a push would do with one image; `action` is None if it would be built first.

    `blobs` and `size` (in bytes) would be sent for it; both are unknown, not `exact`, before it is built or saved.
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
        sources = lookup.sources(local)
        require(promised or {}, sources | promises(outcomes))
        client, inventory = lookup.destination.client, lookup.destination.inventory
        images = {target: image for target, image in outcomes.items() if isinstance(image, Image)}
        places = {(target.repository, blob.digest) for target, image in images.items() for blob in image.blobs}
        list(lookup.destination.pool.map(lambda place: inventory.size(*place), sorted(places)))
        planned: set[str] = set()

        def predicted(target: Target) -> Forecast:
            image, name, repository = outcomes.get(target), str(target), target.repository
            if image is None:
                saved = sources.get(target)
                return Forecast(
                    name, Action.UPLOADED if saved else None, exact=False, source=saved.source if saved else ""
                )
            if isinstance(image, SandboxError):
                return Forecast(name, None, error=image)
            missing = {blob.digest: blob.size for blob in image.blobs if inventory.anywhere(blob.digest) is None}
            sizes = [size for digest, size in missing.items() if digest not in planned]
            planned.update(missing)
            digest = image.root.digest
            linked = all(inventory.is_confirmed(repository, blob.digest) for blob in image.blobs)
            published = image.published or client.manifest_digest(repository, target.tag or digest) == digest
            action = Action.UPLOADED if sizes else Action.SKIPPED if published and linked else Action.MOUNTED
            return Forecast(name, action, len(sizes), sum(sizes), True, image.source or digest, digest)

        return tuple(predicted(entry.target) for entry in entries)
