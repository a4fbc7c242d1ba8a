"""Turns the entries of a manifest into images: their content and origin, before anything is transferred."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.errors import MissingTool, SandboxError
from sandbox.images.images_yaml import Entry, FromArchive, FromBuild, FromDaemon, FromLayout, FromRegistry
from sandbox.images.progress import Observer
from sandbox.images.sources.compressed import CompressedImages
from sandbox.images.sources.docker_engine import DaemonImages
from sandbox.images.sources.image_build import build_all
from sandbox.images.sources.image_source import Daemon, EngineAccess
from sandbox.images.sources.image_tar import Archive
from sandbox.images.sources.layout import Layout
from sandbox.images.sources.remote import Remote, api_host
from sandbox.images.transfer import Destination
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.client import Client, Clients
from sandbox.oci.compression import Compression
from sandbox.oci.image import Image, MissingBlob, narrow
from sandbox.oci.manifest import Descriptor
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import Target

LARGEST_CONFIG = 8 << 20


@dataclass(frozen=True)
class FoundImage:
    """An image, the digest of its source, and the platforms it was reduced to, if it was."""

    image: Image
    source: str
    platforms: tuple[str, ...] = ()


Outcome = FoundImage | SandboxError


class Remembering:
    """A Docker Engine that is asked about each image once, and whose answers are kept."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.known: dict[str, Mapping[str, Any] | None] = {}

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        if name not in self.known:
            self.known[name] = self._daemon.inspect_image(name)
        return self.known[name]

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        return self._daemon.save(names)

    def build(self, context: Path, tag: str, **options: Any) -> None:
        self._daemon.build(context, tag, **options)
        self.known.pop(tag, None)

    def tag(self, reference: str, name: str) -> None:
        self._daemon.tag(reference, name)
        self.known.pop(name, None)

    def remove_image(self, name: str) -> bool:
        self.known.pop(name, None)
        return self._daemon.remove_image(name)

    def root(self) -> Path:
        return self._daemon.root()

    @property
    def is_podman(self) -> bool:
        return self._daemon.is_podman

    def id(self, name: str) -> str:
        return str((self.known.get(name) or {}).get("Id", ""))


class Elsewhere:
    """The entries whose images are not in the Docker Engine, read concurrently."""

    def __init__(self, pool: Executor, clients: Clients, platform: str) -> None:
        self._pool = pool
        self._clients = clients
        self._platform = platform

    def begin(self, entries: Sequence[Entry]) -> dict[Target, Future[Outcome]]:
        """Start reading the documents; blobs are read later, by the same clients."""
        begun: dict[Target, Future[Outcome]] = {}
        for entry in entries:
            if not isinstance(entry, FromDaemon | FromBuild):
                begun[entry.target] = self._pool.submit(self._read, entry, self._source(entry))
        return begun

    def _source(self, entry: FromRegistry | FromArchive | FromLayout) -> Archive | Layout | Remote:
        match entry:
            case FromArchive():
                return Archive(entry.path, entry.image)
            case FromLayout():
                return Layout(entry.path, entry.image)
            case FromRegistry():
                client = self._clients.at(api_host(entry.image))
                return Remote(client, entry.image, self._platform, entry.platforms)

    def _read(self, entry: FromRegistry | FromArchive | FromLayout, source: Archive | Layout | Remote) -> Outcome:
        try:
            image = source.image()
            reduced = image.source not in (None, image.root.digest)
            if entry.platforms and not reduced:
                image = narrow(image, entry.platforms, str(entry.target), lambda blob: _small(image, blob))
            platforms = entry.platforms or ((self._platform,) if reduced else ())
            return _found(entry.target, image, image.source or image.root.digest, platforms)
        except SandboxError as error:
            return error


def built(
    entries: Sequence[Entry], daemon: Daemon | None, observer: Observer, buildx: Path | None = None
) -> tuple[list[FromDaemon], dict[Target, SandboxError]]:
    """Return the entries whose images the engine has, after building those that must be built; and the failures."""
    local = [entry for entry in entries if isinstance(entry, FromDaemon | FromBuild)]
    if daemon is None:
        none = {e.target: MissingTool("no Docker Engine", details=f"{e.target} comes from it") for e in local}
        return [], dict[Target, SandboxError](none)
    made: dict[Target, FromDaemon | SandboxError] = {e.target: e for e in local if isinstance(e, FromDaemon)}
    if building := [entry for entry in local if isinstance(entry, FromBuild)]:
        made |= build_all(building, daemon, observer.building, buildx)
    ready = [one for entry in local if isinstance(one := made[entry.target], FromDaemon)]
    return ready, {target: one for target, one in made.items() if isinstance(one, SandboxError)}


def of_engine(
    compression: Compression,
    daemon: Daemon,
    destination: Destination,
    stack: contextlib.ExitStack,
    access: EngineAccess,
) -> DaemonImages | CompressedImages:
    """Return the source of the engine's images, layers compressed as asked; its resources live as long as `stack`."""
    if compression is Compression.RAW:
        return DaemonImages(daemon, destination, access, stack)
    return CompressedImages(compression, daemon, destination, access, stack)


def outcome(entry: FromDaemon, image: Image | SandboxError, source: str, client: Client) -> Outcome:
    """Return the result for an image of the engine; `client` reads what the target registry has already."""
    if isinstance(image, SandboxError):
        return image
    whole = image

    def read(blob: Descriptor) -> bytes:
        try:
            return _small(whole, blob)
        except MissingBlob:
            with client.blob(entry.target.repository, blob.digest) as chunks:
                return _bytes(blob, chunks)

    try:
        if entry.platforms:
            image = narrow(whole, entry.platforms, entry.image, read)
        return _found(entry.target, image, source, entry.platforms)
    except SandboxError as error:
        return error


def _found(target: Target, image: Image, source: str, platforms: tuple[str, ...]) -> FoundImage:
    """Return an image for its target. Raises BadImage if that is the digest of another, under which none looks for it.

    Fewer platforms, or layers as the engine has them, make another image. CNCF distribution takes what is named by
    sha512, but stores it by sha256, and its garbage collection deletes it.
    """
    indexes = (manifests.parse(one) for one in image.documents if one.media_type in manifests.INDEXES)
    children = (child for one in indexes if isinstance(one, manifests.Index) for child in one.manifests)
    if odd := next((one for one in (*image.blobs, *children) if not one.digest.startswith("sha256:")), None):
        raise BadImage(
            f"{target} cannot be pushed: registries keep content by sha256",
            details=f"the image contains {odd}",
            fix="build or copy it again with digests of sha256",
        )
    if target.digest and target.digest != image.root.digest:
        raise BadImage(
            f"{target} would be another image here",
            details=f"its digest would be {image.root.digest}",
            fix="add `as: name:tag`, or leave out `platforms:`",
        )
    return FoundImage(image, source, platforms)


def _small(image: Image, blob: Descriptor) -> bytes:
    with image.origin.open(blob) as chunks:
        return _bytes(blob, chunks)


def _bytes(blob: Descriptor, chunks: Iterator[bytes]) -> bytes:
    if blob.size > LARGEST_CONFIG:
        raise BadImage(f"{blob.digest} is too large for a configuration", details=f"{blob.size} bytes")
    return b"".join(digests.verified(chunks, blob.digest, blob.size))
