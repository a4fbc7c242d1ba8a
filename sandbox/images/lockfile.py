"""`images.lock.yaml`: the digests of the images of images.yaml, so that other machines and later days push the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, ConfigDict, Field

from sandbox.config.loader import CURRENT, Format
from sandbox.config.loader import load as load_document
from sandbox.config.model import Document
from sandbox.errors import BadFile, SandboxError
from sandbox.images import images_yaml
from sandbox.images.images_yaml import Entry, FromArchive, FromBuild, FromDaemon, FromLayout, FromRegistry
from sandbox.images.progress import Result
from sandbox.oci import digest
from sandbox.oci.manifest import Compression
from sandbox.oci.reference import Target
from sandbox.system import files

HEADER = """\
# Written by `sandbox push-images`; not to be edited. It belongs in git, next to the manifest of images.
# `source` is what an image was taken from, `digest` what its name stands for in the sandbox's registry.
# `sandbox push-images --locked` pushes exactly this or nothing, `sandbox push-images --update` renews it.
"""


@dataclass(frozen=True)
class Promise:
    """The digest of an image's source, and the digest it then has in the registry."""

    source: str
    digest: str


class Drift(SandboxError):
    id = "lock-drift"

    def __init__(self, lines: Mapping[str, str]) -> None:
        count = f"{len(lines)} images are" if len(lines) > 1 else "1 image is"
        super().__init__(
            f"{count} not what the lock says",
            details="\n".join(f"{target}: {line}" for target, line in lines.items()),
            fix="bring back what the lock names, or push without --locked, which renews it",
        )


def require(promises: Mapping[Target, Promise], actual: Mapping[Target, Promise]) -> None:
    """Raise Drift for images of `actual` that differ from their promise; an empty digest is not known yet."""
    lines: dict[str, str] = {}
    for target, promise in promises.items():
        now = actual.get(target)
        # An engine with the containerd store gives other ids than one with the classic store.
        if now is None or now.digest == promise.digest or now.source == promise.digest:
            continue
        if now.source != promise.source:
            lines[str(target)] = f"the lock was made from {promise.source}, its source is now {now.source or 'absent'}"
        elif now.digest:
            lines[str(target)] = f"the lock says {promise.digest}, it would become {now.digest}"
    if lines:
        raise Drift(lines)


Digest = Annotated[str, AfterValidator(digest.checked)]


class Locked(Document):
    """`origin` describes the image's source; `platforms` are set where the machine decided them."""

    model_config = ConfigDict(validate_by_name=True)

    target: str
    origin: str = Field(validation_alias="from", serialization_alias="from")
    platforms: tuple[str, ...] = ()
    source: Digest
    digest: Digest


class Lock(Document):
    version: Format = Field(default=CURRENT, alias="apiVersion")
    compression: Compression = Compression.RAW
    images: tuple[Locked, ...] = ()

    @property
    def by_target(self) -> dict[str, Locked]:
        return {image.target: image for image in self.images}


def lock_path(manifest: Path) -> Path:
    return manifest.with_name(f"{manifest.stem}.lock.yaml")


def dump(lock: Lock) -> str:
    images = [image.model_dump(mode="json", by_alias=True, exclude_defaults=True) for image in lock.images]
    content = {"apiVersion": lock.version, "compression": lock.compression.value, "images": images}
    return HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1 << 16)


def lock_of(images: Iterable[Locked], compression: Compression = Compression.RAW) -> Lock:
    return Lock(compression=compression, images=tuple(sorted(images, key=lambda image: image.target)))


def changes(old: Lock, new: Lock) -> tuple[str, ...]:
    before, after = old.by_target, new.by_target
    lines = [f"{name} changed" for name in sorted(before.keys() & after.keys()) if before[name] != after[name]]
    lines += [f"{name} added" for name in sorted(after.keys() - before.keys())]
    lines += [f"{name} removed" for name in sorted(before.keys() - after.keys())]
    return tuple(lines)


@dataclass(frozen=True)
class LockFile:
    """The lock of the file `manifest`, whose images are `entries`; other commands may renew it at any time.

    Images of other registries stay at the locked digest, even when their tag has moved. All others are the developer's
    own work and are pushed as they are. With `reading` layers may be read from the engine's own folders.
    """

    manifest: Path
    entries: tuple[Entry, ...]
    reading: bool = True

    @classmethod
    def of(cls, manifest: Path) -> LockFile:
        content = images_yaml.read(manifest)
        return cls(manifest, content.entries(manifest.parent), reading=content.daemon == "read")

    @property
    def path(self) -> Path:
        return lock_path(self.manifest)

    def read(self) -> Lock | None:
        try:
            return load_document(self.path, Lock) if self.path.exists() else None
        except BadFile as error:
            error.fix = error.fix or "bring back an earlier version of it, or delete it and push again"
            raise

    def pinned(self, lock: Lock | None) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for entry in self.entries:
            if isinstance(entry, FromRegistry) and (locked := self._locked(entry, lock)):
                image = replace(entry.image, digest=locked.source)
                entry = replace(entry, image=image, platforms=entry.platforms or locked.platforms)
            entries.append(entry)
        return tuple(entries)

    def digests(self, lock: Lock | None) -> Mapping[Target, str]:
        locked = {entry.target: self._locked(entry, lock) for entry in self.entries}
        return {target: image.digest for target, image in locked.items() if image}

    def promises(self, lock: Lock) -> Mapping[Target, Promise]:
        images, lines = lock.by_target, {}
        promised: dict[Target, Promise] = {}
        for entry in self.entries:
            name, origin = str(entry.target), self.describe(entry)
            locked = images.pop(name, None)
            if locked is None:
                lines[name] = "the lock does not have it"
            elif locked.origin != origin:
                lines[name] = f"the lock says {locked.origin}, the manifest says {origin}"
            else:
                promised[entry.target] = Promise(locked.source, locked.digest)
        lines |= dict.fromkeys(images, "the lock has it, the manifest does not")
        if lines:
            raise Drift(lines)
        return promised

    def renewed(self, results: Sequence[Result], old: Lock | None, compression: Compression) -> Lock:
        """Return the lock after a push: the results, and for images that failed what was locked before."""
        pushed = {result.target: result for result in results}
        images = []
        for entry in self.entries:
            if result := pushed.get(str(entry.target)):
                locked = Locked(
                    target=result.target,
                    origin=self.describe(entry),
                    platforms=() if entry.platforms else result.platforms,
                    source=result.source,
                    digest=result.digest,
                )
                images.append(locked)
            elif before := self._locked(entry, old):
                images.append(before)
        return lock_of(images, compression)

    def follow(self, results: Sequence[Result], lock: Lock | None, compression: Compression) -> tuple[str, ...]:
        """Write the lock after a push if it differs from `lock`; return in words what changed."""
        new = self.renewed(results, lock, compression)
        words = changes(lock, new) if lock else ("written; it belongs in git",)
        if not new.images or not words:
            return ()
        files.write_atomic(self.path, dump(new).encode(), mode=0o644)
        return words

    def describe(self, entry: Entry) -> str:
        """Describe an entry's source in one line, with relative paths: a changed entry has another line."""

        def relative(path: Path) -> str:
            folder = self.manifest.parent
            return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()

        match entry:
            case FromRegistry():
                words = ["registry", str(entry.image)]
            case FromDaemon():
                words = ["daemon", entry.image]
            case FromArchive() | FromLayout():
                kind = "archive" if isinstance(entry, FromArchive) else "layout"
                words = [kind, relative(entry.path), *([entry.image] if entry.image else [])]
            case FromBuild():
                words = ["build", relative(entry.context)]
                words += [entry.dockerfile] if entry.dockerfile else []
                words += ["target", entry.stage] if entry.stage else []
        return " ".join([*words, *(["for", *entry.platforms] if entry.platforms else [])])

    def _locked(self, entry: Entry, lock: Lock | None) -> Locked | None:
        locked = lock.by_target.get(str(entry.target)) if lock else None
        return locked if locked and locked.origin == self.describe(entry) else None
