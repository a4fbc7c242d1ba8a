"""A push of the images of images.yaml, with its lock and verification; for commands, steps and the API."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError, UsageError
from sandbox.images.images_yaml import Entry, FromBuild, FromDaemon
from sandbox.images.lockfile import Lock, LockFile, Promise
from sandbox.images.progress import Observer, Result
from sandbox.images.push import push
from sandbox.images.sources.engine_container import ContainerFiles
from sandbox.images.sources.image_source import EngineAccess
from sandbox.oci import address
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain
from sandbox.oci.manifest import Compression
from sandbox.oci.reference import Target
from sandbox.system import files

if TYPE_CHECKING:
    from sandbox.engine import Engine

# Moves damaged blobs aside, by their digests, so that they are pushed again.
Repair = Callable[[Collection[str]], None]
PROGRESS_INTERVAL = 0.5  # seconds
READS = "a container reads layers from the Docker Engine's folder; `daemon: save` in images.yaml turns this off"
ANNOUNCED = "container-announced"  # a file in the spool: these words were shown once on this machine


@dataclass(frozen=True, kw_only=True)
class Local:
    """What a push uses of this machine; in the folder `spool` layers are compressed, `buildx` finds that program."""

    connect: Callable[[], Engine]
    spool: Path | None = None
    buildx: Callable[[], Path | None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class ImagePush:
    file: LockFile
    lock: Lock | None
    entries: tuple[Entry, ...]
    promised: Mapping[Target, Promise]
    registry: str
    compression: Compression
    keychain: Keychain | None
    local: Local

    @classmethod
    def of(
        cls,
        file: LockFile,
        registry: str,
        keychain: Keychain | None,
        local: Local,
        *,
        locked: bool = False,
        update: bool = False,
    ) -> ImagePush:
        """Read the lock and decide what the options leave open. Raises UsageError, Drift."""
        lock = file.read()
        if locked and lock is None:
            raise UsageError(f"there is no lock {file.path}", fix="write it: sandbox push-images")
        compression = Compression.RAW if address.parse(registry).is_loopback else Compression.GZIP
        return cls(
            file=file,
            lock=lock,
            entries=file.entries if update else file.pinned(lock),
            promised=file.promises(lock) if locked and lock else {},
            registry=registry,
            compression=lock.compression if lock else compression,
            keychain=keychain,
            local=local,
        )

    @property
    def targets(self) -> list[Target]:
        return [entry.target for entry in self.entries]

    @cached_property
    def engine(self) -> Engine | None:
        is_needed = any(isinstance(entry, FromDaemon | FromBuild) for entry in self.entries)
        return self.local.connect() if is_needed else None

    def push(
        self, observer: Observer, *, fail_fast: bool = False, thorough: bool = False, dry: bool = False
    ) -> tuple[Result, ...]:
        engine, spool = self.engine, self.local.spool

        def announce() -> None:
            if spool and not (announced := spool / ANNOUNCED).exists():
                observer.noted(READS)
                files.make_private_dir(spool)
                announced.touch()

        access = EngineAccess(
            reading=self.file.reading,
            container=partial(ContainerFiles, engine, started=announce, spool=spool) if engine else None,
            spool=spool,
            buildx=self.local.buildx() if any(isinstance(entry, FromBuild) for entry in self.entries) else None,
        )
        return push(
            self.entries,
            self.registry,
            engine,
            observer,
            thorough=thorough,
            fail_fast=fail_fast,
            dry=dry,
            compression=self.compression,
            promised=self.promised,
            keychain=self.keychain,
            access=access,
        )

    def run(self, say: Callable[[str], None]) -> Sequence[Result]:
        """Push and report the progress; update the lock, if it exists. Raises the errors of `push`."""
        results = self.push(_Lines(say))
        if self.lock and (changes := self.follow(results)):
            say(f"{self.file.path.name}: {', '.join(changes)}")
        return results

    def follow(self, results: Sequence[Result]) -> Sequence[str]:
        return self.file.follow(results, self.lock, self.compression)

    def verify(
        self, results: Sequence[Result], observer: Observer, repair: Repair | None, reading: Observer | None = None
    ) -> int:
        """Read every byte back, push again what `repair` puts aside; return the number of bytes."""
        from sandbox.images.verify import VerifyFailed, verify

        targets = {str(target): target for target in self.targets}
        digests = {targets[result.target]: result.digest for result in results}

        def read_back() -> int:
            with Client(self.registry, keychain=self.keychain) as client:
                return verify(digests, client, reading or Observer())

        try:
            return read_back()
        except VerifyFailed as error:
            if repair is None or not error.damaged:
                raise
            repair(error.damaged)
        self.push(observer, thorough=True)
        return read_back()


class _Lines(Observer):
    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._sent = 0
        self._reported = 0.0

    def building(self, target: str) -> None:
        self._say(f"building {target}")

    def noted(self, line: str) -> None:
        self._say(line)

    def sent(self, size: int) -> None:
        self._sent += size
        now = time.monotonic()
        if now - self._reported >= PROGRESS_INTERVAL:
            self._reported = now
            self._say(f"{self._sent / 1e6:.0f} MB")

    def failed(self, target: str, error: SandboxError) -> None:
        self._say(f"{target}: {error.brief}")
