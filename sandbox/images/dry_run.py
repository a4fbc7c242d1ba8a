"""Predicts what a push would do, from questions only: nothing is built, saved, sent or deleted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.errors import SandboxError
from sandbox.images.image_lookup import Elsewhere, FoundImage, Remembering, built, of_engine, outcome
from sandbox.images.images_yaml import Entry, FromBuild
from sandbox.images.lockfile import Drift, Promise, broken_promises
from sandbox.images.progress import Action, Ending, Observer
from sandbox.images.push import LIMIT, workers
from sandbox.images.sources.engine_files import Opening
from sandbox.images.sources.image_source import Daemon, EngineAccess, layers_of
from sandbox.images.transfer import BlobInventory, Destination, plan_transfers
from sandbox.oci.client import Clients
from sandbox.oci.compression import Compression
from sandbox.oci.credential import Keychain
from sandbox.oci.image import Image, host_platform
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


class _NotSaved(SandboxError):
    """Stands for the content of an image that a real push would save."""


class _Untouched(Remembering):
    """An engine that only answers questions."""

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        raise _NotSaved("a dry run saves nothing")


def forecast(
    entries: Sequence[Entry],
    registry: str,
    daemon: Daemon | None = None,
    *,
    compression: Compression = Compression.RAW,
    promised: Mapping[Target, Promise] | None = None,
    keychain: Keychain | None = None,
    reading: bool = True,
    container: Opening | None = None,
) -> tuple[Forecast, ...]:
    """Return what `push` would do, in the order of `entries`. Raises RegistryError, and Drift as `push` does.

    With `reading` the sizes of the engine's layers are looked up in its own folders, by a `container` where this user
    may not read them. Else a layer's size is not known before it is saved, and images get an upper bound.
    """
    ending = Ending(Observer())
    with contextlib.ExitStack() as stack:
        clients = Clients(stack, keychain)
        client = clients.at(registry)
        client.ping()
        folders = stack.enter_context(contextlib.ExitStack())
        pool = stack.enter_context(workers(LIMIT, ending))
        futures = Elsewhere(pool, clients, host_platform()).begin(entries)
        engine = _Untouched(daemon) if daemon else None
        known = [entry for entry in entries if not isinstance(entry, FromBuild)]
        local, failed = built(known, engine, ending)
        inventory = BlobInventory(client)
        images: dict[Target, Image | SandboxError] = {}
        if engine is not None and local:
            destination = Destination(client, inventory, ending, pool)
            access = EngineAccess(reading=reading and compression is Compression.RAW, container=container)
            images = of_engine(compression, engine, destination, folders, access).resolve(local)
        found: dict[Target, FoundImage | SandboxError] = dict(failed)
        for entry in local:
            source = engine.id(entry.image) if engine else ""
            found[entry.target] = outcome(entry, images[entry.target], source, client)
        found |= {target: future.result() for target, future in futures.items()}
        places = {
            (t.repository, b.digest) for t, one in found.items() if isinstance(one, FoundImage) for b in one.image.blobs
        }
        list(pool.map(lambda place: inventory.size(*place), sorted(places)))
        named = {entry.target: entry.image for entry in local}
        forecaster = _Forecaster(inventory, engine, named)
        answers = [forecaster(entry.target, found.get(entry.target)) for entry in entries]
        _require(promised or {}, {e.target: answer for e, answer in zip(entries, answers, strict=True)})
        return tuple(answers)


class _Forecaster:
    """Goes through the images in their order; a blob counts for the first that needs it."""

    def __init__(self, inventory: BlobInventory, engine: Remembering | None, names: Mapping[Target, str]) -> None:
        self._inventory = inventory
        self._engine = engine
        self._names = names
        self._sent: set[str] = set()

    def __call__(self, target: Target, found: FoundImage | SandboxError | None) -> Forecast:
        match found:
            case None:
                return Forecast(str(target), None, exact=False)
            case _NotSaved() if self._engine is not None:
                name = self._names[target]
                return self._unsaved(target, self._engine.inspect_image(name) or {})
            case SandboxError():
                return Forecast(str(target), None, error=found)
            case FoundImage():
                return self._image(target, found)

    def _image(self, target: Target, found: FoundImage) -> Forecast:
        root = found.image.root
        tagged = self._inventory.named(target.repository, target.tag or root.digest) == root.digest
        size = blobs = 0
        linked = True
        for transfer in plan_transfers({target: found.image}).transfers:
            if self._missing(target.repository, transfer.blob.digest):
                size, blobs = size + transfer.blob.size, blobs + 1
            linked = linked and self._inventory.fact(target.repository, transfer.blob.digest) is not None
        action = Action.UPLOADED if blobs else Action.SKIPPED if tagged and linked else Action.MOUNTED
        return Forecast(str(target), action, blobs, size, True, found.source, root.digest)

    def _unsaved(self, target: Target, content: Mapping[str, Any]) -> Forecast:
        layers = dict.fromkeys(layers_of(content))
        missing = sum([self._missing(target.repository, digest) for digest in layers])
        size = int(content.get("Size") or 0) if missing else 0
        return Forecast(str(target), Action.UPLOADED, missing + 1, size, False, str(content.get("Id", "")))

    def _missing(self, repository: str, digest: str) -> bool:
        if self._inventory.has(repository, digest) or digest in self._sent:
            return False
        self._sent.add(digest)
        return True


def _require(promised: Mapping[Target, Promise], answers: Mapping[Target, Forecast]) -> None:
    now = {t: Promise(one.source, one.digest) for t, one in answers.items() if one.source}
    if lines := broken_promises(promised, now):
        raise Drift(lines)
