"""`images.lock.yaml`: which bytes a manifest of images stood for, so that other machines and later days have the same.

Images of other registries stay at the digest that is locked, even when their tag has moved, until the lock is renewed.
Everything else (the Docker Engine, archives, layouts, builds) is the developer's own work and is pushed as it is; the
lock follows, unless it is to be obeyed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sandbox.config.loader import CURRENT, Format
from sandbox.config.loader import load as load_document
from sandbox.images.images_yaml import Entry, FromArchive, FromBuild, FromDaemon, FromLayout, FromRegistry
from sandbox.images.lock_check import Drift, Promise
from sandbox.images.progress import Result
from sandbox.images.target import Target
from sandbox.oci import digest
from sandbox.oci.compression import Compression

HEADER = """\
# Written by `sandbox push-images`; not to be edited. It belongs in git, next to the manifest of images.
# `source` is what an image was taken from, `digest` what its name stands for in the sandbox's registry.
# `sandbox push-images --locked` pushes exactly this or nothing, `sandbox push-images --update` renews it.
"""


def _digest(text: str) -> str:
    if not digest.is_digest(text):
        raise ValueError(f"'{text}' is not a digest")
    return text


Digest = Annotated[str, AfterValidator(_digest)]


class Locked(BaseModel):
    """One image. `origin` describes its source; `platforms` are set where the machine decided them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: str
    origin: str = Field(alias="from")
    platforms: tuple[str, ...] = ()
    source: Digest
    digest: Digest


class Lock(BaseModel):
    """The file as a whole, its images in the order of their targets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Format = Field(CURRENT, alias="apiVersion")
    compression: Compression = Compression.RAW
    images: tuple[Locked, ...] = ()

    @property
    def by_target(self) -> Mapping[str, Locked]:
        return {one.target: one for one in self.images}


def lock_path(manifest: Path) -> Path:
    """Return where the lock of a manifest is: `images.lock.yaml` for `images.yaml`."""
    return manifest.with_name(f"{manifest.stem}.lock.yaml")


def load(path: Path) -> Lock | None:
    """Return the lock in a file, None when there is none. Raises UsageError with file, line and key."""
    return load_document(path, Lock, create="run sandbox push-images") if path.exists() else None


def dump(lock: Lock) -> str:
    """Return the file's text; the same lock is the same text."""
    images = []
    for one in sorted(lock.images, key=lambda one: one.target):
        content = one.model_dump(mode="json", by_alias=True)
        if not one.platforms:
            del content["platforms"]
        images.append(content)
    content = {"apiVersion": lock.version, "compression": lock.compression.value, "images": images}
    return HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1 << 16)


def describe(entry: Entry, folder: Path) -> str:
    """Write an entry's source in one line, paths as seen from `folder`: an entry that changes has another line."""
    match entry:
        case FromRegistry():
            words = ["registry", str(entry.image)]
        case FromDaemon():
            words = ["daemon", entry.image]
        case FromArchive() | FromLayout():
            kind = "archive" if isinstance(entry, FromArchive) else "layout"
            words = [kind, _relative(entry.path, folder), *([entry.image] if entry.image else [])]
        case FromBuild():
            words = ["build", _relative(entry.context, folder)]
            words += [entry.dockerfile] if entry.dockerfile else []
            words += ["target", entry.stage] if entry.stage else []
    return " ".join([*words, *(["for", *entry.platforms] if entry.platforms else [])])


def pinned(entries: Sequence[Entry], lock: Lock | None, folder: Path) -> tuple[Entry, ...]:
    """`entries`, those of other registries at the digest and the platforms that are locked."""
    return tuple(_pinned(entry, lock, folder) for entry in entries) if lock else tuple(entries)


def digests(entries: Sequence[Entry], lock: Lock, folder: Path) -> Mapping[Target, str]:
    """Return the digests that `lock` has for `entries`, as far as it has them from the same source."""
    return {entry.target: known.digest for entry in entries if (known := _locked(entry, lock, folder))}


def _locked(entry: Entry, lock: Lock, folder: Path) -> Locked | None:
    known = lock.by_target.get(str(entry.target))
    return known if known is not None and known.origin == describe(entry, folder) else None


def _pinned(entry: Entry, lock: Lock, folder: Path) -> Entry:
    known = _locked(entry, lock, folder)
    if not isinstance(entry, FromRegistry) or known is None:
        return entry
    return replace(entry, image=replace(entry.image, digest=known.source), platforms=entry.platforms or known.platforms)


def promises(entries: Sequence[Entry], lock: Lock, folder: Path) -> Mapping[Target, Promise]:
    """Return what `lock` says of each entry. Raises Drift when it is not a lock of just these entries."""
    known, lines = dict(lock.by_target), {}
    promised: dict[Target, Promise] = {}
    for entry in entries:
        name, origin = str(entry.target), describe(entry, folder)
        locked = known.pop(name, None)
        if locked is None:
            lines[name] = "the lock does not have it"
        elif locked.origin != origin:
            lines[name] = f"the lock says {locked.origin}, the manifest says {origin}"
        else:
            promised[entry.target] = Promise(locked.source, locked.digest)
    lines |= dict.fromkeys(known, "the lock has it, the manifest does not")
    if lines:
        raise Drift(lines)
    return promised


def renewed(
    entries: Sequence[Entry], results: Sequence[Result], old: Lock | None, folder: Path, compression: Compression
) -> Lock:
    """Return the lock after a push: what was pushed, and for images that failed what was locked before."""
    pushed = {result.target: result for result in results}
    before = old.by_target if old else {}
    images = []
    for entry in entries:
        name, origin = str(entry.target), describe(entry, folder)
        if result := pushed.get(name):
            content = {"target": name, "from": origin, "source": result.source, "digest": result.digest}
            platforms = () if entry.platforms else result.platforms
            images.append(Locked.model_validate({**content, "platforms": platforms}))
        elif name in before and before[name].origin == origin:
            images.append(before[name])
    return of(images, compression)


def of(images: Iterable[Locked], compression: Compression = Compression.RAW) -> Lock:
    """Return the lock of these images, whose targets must differ."""
    ordered = tuple(sorted(images, key=lambda one: one.target))
    return Lock.model_validate({"compression": compression, "images": ordered})


def changes(old: Lock, new: Lock) -> tuple[str, ...]:
    """Return the names of the images for which `new` says something else, with what happened to them."""
    was, now = old.by_target, new.by_target
    words = [f"{name} changed" for name in sorted(was.keys() & now.keys()) if was[name] != now[name]]
    words += [f"{name} added" for name in sorted(now.keys() - was.keys())]
    words += [f"{name} removed" for name in sorted(was.keys() - now.keys())]
    if old.compression is not new.compression:
        words.append(f"layers now {new.compression.value}")
    return tuple(words)


def _relative(path: Path, folder: Path) -> str:
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()
