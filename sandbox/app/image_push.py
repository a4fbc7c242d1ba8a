"""A push of the images of a manifest: its lock, the push, the bytes read back, and tags that it does not name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.app import context
from sandbox.errors import SandboxError, UsageError
from sandbox.images.dry_run import Forecast, forecast
from sandbox.images.images_yaml import Entry, FromBuild, FromDaemon, FromRegistry
from sandbox.images.lockfile import Lock, LockFile, Promise
from sandbox.images.progress import Observer, Result, Silent
from sandbox.images.push import push
from sandbox.images.registry_content import Unlisted, prune, unlisted
from sandbox.images.sources.image_source import Helper
from sandbox.images.verify import VerifyFailed, verify
from sandbox.oci import address
from sandbox.oci.client import Client
from sandbox.oci.compression import Compression
from sandbox.oci.credential import Keychain
from sandbox.oci.image import host_platform
from sandbox.oci.reference import Target

if TYPE_CHECKING:
    from sandbox.engine import Engine

CONFIG = "/etc/distribution/config.yml"
# Puts damaged blobs aside, by their digests, so that they are pushed again.
Repair = Callable[[Collection[str]], None]


@dataclass(frozen=True, kw_only=True)
class ImagePush:
    """What is to be pushed where, once the manifest and its lock are read."""

    file: LockFile
    lock: Lock | None
    entries: tuple[Entry, ...]
    promised: Mapping[Target, Promise]
    registry: str
    compression: Compression
    keychain: Keychain

    @classmethod
    def of(
        cls, manifest: Path, registry: str, keychain: Keychain, *, locked: bool, update: bool, packing: str | None
    ) -> ImagePush:
        """Read the files and decide what the options leave open. Raises UsageError, Drift."""
        file = LockFile.of(manifest)
        known = file.read()
        if locked and known is None:
            raise UsageError(f"there is no lock {file.path}", fix="write it: sandbox push-images")
        kind = _compression(packing, known, registry)
        if locked and known is not None and kind is not known.compression:
            raise UsageError(
                f"{file.path} is for {known.compression.value} layers, not {kind.value}", fix="leave out --compression"
            )
        return cls(
            file=file,
            lock=known,
            entries=file.entries if update else file.pinned(known),
            promised=file.promises(known) if locked and known else {},
            registry=registry,
            compression=kind,
            keychain=keychain,
        )

    @property
    def targets(self) -> list[Target]:
        """Return the names that the images have in the registry."""
        return [entry.target for entry in self.entries]

    @property
    def engine(self) -> Engine | None:
        """Return the Docker Engine, when an image comes from it."""
        if not any(isinstance(entry, FromDaemon | FromBuild) for entry in self.entries):
            return None
        from sandbox.engine import Engine

        return Engine.connect()

    def foreign(self) -> list[str]:
        """Say which images are locked for another machine: the same lock gives the same bytes, wanted or not."""
        own = host_platform()
        return [
            f"{entry.target} is for {', '.join(entry.platforms)}, this machine is {own}: list both in `platforms:`"
            for entry in self.entries
            if isinstance(entry, FromRegistry) and entry.platforms and own not in entry.platforms
        ]

    def push(self, observer: Observer, *, fail_fast: bool = False, thorough: bool = False) -> tuple[Result, ...]:
        """Have every image in the registry. Raises PushFailed and what else `push` does."""
        engine = self.engine
        return push(
            self.entries,
            self.registry,
            engine,
            observer,
            thorough=thorough,
            fail_fast=fail_fast,
            compression=self.compression,
            promised=self.promised,
            keychain=self.keychain,
            spool=context.home().spool,
            reading=self.file.reading,
            helper=layer_helper(engine) if engine else None,
        )

    def follow(self, results: Sequence[Result]) -> Sequence[str]:
        """Write the lock when it would say something else; returns what that is."""
        return self.file.follow(results, self.lock, self.compression)

    def verify(self, results: Sequence[Result], observer: Observer, repair: Repair | None) -> int:
        """Read every byte back, push again what `repair` puts aside; returns the bytes read. Raises VerifyFailed."""
        try:
            return self._read_back(results)
        except VerifyFailed as harm:
            if repair is None or not harm.damaged:
                raise
            repair(harm.damaged)
        self.push(observer, thorough=True)
        return self._read_back(results)

    def _read_back(self, results: Sequence[Result]) -> int:
        by_name = {str(target): target for target in self.targets}
        with Client(self.registry, keychain=self.keychain) as client:
            return verify({by_name[one.target]: one.digest for one in results}, client, Silent())

    def foretell(self) -> Sequence[Forecast]:
        """Find what a push would do, without doing it. Raises SandboxError."""
        return forecast(
            self.entries,
            self.registry,
            self.engine,
            compression=self.compression,
            promised=self.promised,
            keychain=self.keychain,
        )


@dataclass(frozen=True)
class Pruning:
    """The tags of one registry, the sandbox `whose`'s if that is a name, that are not among `targets`."""

    registry: str
    keychain: Keychain | None
    targets: Sequence[Target]
    whose: str = ""

    @property
    def where(self) -> str:
        """Return the registry, for people."""
        return f"the registry of sandbox '{self.whose}' at {self.registry}" if self.whose else self.registry

    @cached_property
    def _found(self) -> tuple[Unlisted, ...]:
        with Client(self.registry, keychain=self.keychain) as client:
            return unlisted(client, self.targets)

    @property
    def names(self) -> list[str]:
        """Return what would be deleted."""
        return [str(one) for one in self._found]

    def delete(self) -> None:
        """Delete them. Raises SandboxError."""
        with Client(self.registry, keychain=self.keychain) as client:
            prune(client, self._found, self.targets)

    def collection(self) -> str:
        """Make the command that gives the space back, while nothing is pushed."""
        name = self._container()
        # A registry that is not restarted still claims, from its cache, to have what was collected.
        return f"docker exec {name} registry garbage-collect {CONFIG} && docker restart {name}"

    def _container(self) -> str:
        where = address.parse(self.registry)
        if where.is_loopback:
            with contextlib.suppress(SandboxError):
                from sandbox.engine import Engine

                return Engine.connect().publisher(where.port) or "CONTAINER"
        return "CONTAINER"


def layer_helper(engine: Engine) -> Helper:
    """Return what reads the engine's folders for a user who may not."""
    from sandbox.images.sources.layer_helper import LayerHelper

    def image() -> str | None:
        from sandbox.bundle import system_images
        from sandbox.bundle.store import Store

        return system_images.layer_reader(engine, Store(context.home().bundle))

    return LayerHelper(engine, image)


def _compression(packing: str | None, known: Lock | None, registry: str) -> Compression:
    if packing is not None:
        return Compression(packing)
    if known is not None:
        return known.compression
    return Compression.RAW if address.parse(registry).is_loopback else Compression.GZIP
