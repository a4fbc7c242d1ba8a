"""Turns the entries of a manifest into images: their content and origin, before anything is transferred."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sandbox.errors import MissingTool, SandboxError
from sandbox.images.images_yaml import Entry, FromArchive, FromBuild, FromDaemon, FromLayout, FromRegistry
from sandbox.images.lockfile import Promise
from sandbox.images.sources.compressed import CompressedImages
from sandbox.images.sources.docker_engine import DaemonImages
from sandbox.images.sources.image_build import build_all
from sandbox.images.sources.image_source import Daemon, EngineAccess
from sandbox.images.sources.image_tar import Archive
from sandbox.images.sources.layout import Layout
from sandbox.images.sources.remote import Remote, api_host
from sandbox.images.transfer import Destination
from sandbox.oci import digest as digests
from sandbox.oci.client import Clients
from sandbox.oci.compression import Compression
from sandbox.oci.image import Image, narrow
from sandbox.oci.manifest import Descriptor
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import Target

LARGEST_CONFIG = 8 << 20

Outcome = Image | SandboxError


class Lookup:
    """Finds the images of entries; what it opens lives as long as `stack`.

    `platform` is what tags of other registries are reduced to.
    """

    def __init__(
        self,
        clients: Clients,
        destination: Destination,
        daemon: Daemon | None,
        access: EngineAccess,
        compression: Compression,
        stack: contextlib.ExitStack,
        platform: str,
    ) -> None:
        self.destination = destination
        self._clients = clients
        self._daemon = daemon
        self._access = access
        self._stack = stack
        self._platform = platform
        self._engine: DaemonImages | CompressedImages | None = None
        if daemon:
            images = DaemonImages(daemon, destination, access, stack)
            raw = compression is Compression.RAW
            self._engine = images if raw else CompressedImages(images, compression, destination, access.spool, stack)

    def built(
        self, entries: Sequence[Entry], say: Callable[[str], None]
    ) -> tuple[list[FromDaemon], dict[Target, SandboxError]]:
        """Build what must be built; return the entries whose images the engine has then, and the failures."""
        local = [entry for entry in entries if isinstance(entry, FromDaemon | FromBuild)]
        if self._daemon is None:
            return [], {e.target: MissingTool("no Docker Engine", details=f"{e.target} comes from it") for e in local}
        made: dict[Target, FromDaemon | SandboxError] = {e.target: e for e in local if isinstance(e, FromDaemon)}
        if building := [entry for entry in local if isinstance(entry, FromBuild)]:
            made |= build_all(building, self._daemon, say, self._access.buildx)
        ready = [image for entry in local if isinstance(image := made[entry.target], FromDaemon)]
        return ready, {target: error for target, error in made.items() if isinstance(error, SandboxError)}

    def sources(self, local: Sequence[FromDaemon]) -> dict[Target, Promise]:
        contents = {entry.target: self._daemon.inspect_image(entry.image) if self._daemon else None for entry in local}
        return {target: Promise(str((content or {}).get("Id", "")), "") for target, content in contents.items()}

    def images(self, entries: Sequence[Entry], local: Sequence[FromDaemon]) -> dict[Target, Outcome]:
        """Read the documents of the engine's images `local`, and of those of `entries` that come from elsewhere."""
        others = [entry for entry in entries if isinstance(entry, FromRegistry | FromArchive | FromLayout)]
        outcomes = self.destination.pool.map(self._elsewhere, others)
        return dict(zip((entry.target for entry in others), outcomes, strict=True)) | self._of_engine(local)

    def saved(self, local: Sequence[FromDaemon]) -> dict[Target, Outcome]:
        """Have the engine save images whose layers its folders do not give."""
        if self._engine:
            self._engine.stop_reading()
        return self._of_engine(local)

    def _of_engine(self, local: Sequence[FromDaemon]) -> dict[Target, Outcome]:
        images = self._engine.images(local) if self._engine and local else {}
        return {entry.target: _narrowed(entry, images[entry.target], entry.image) for entry in local}

    def _elsewhere(self, entry: FromRegistry | FromArchive | FromLayout) -> Outcome:
        try:
            source = self._source(entry)
            image = source.image()
        except SandboxError as error:
            return error
        if image.source not in (None, image.root.digest):  # the source has reduced it
            return _checked(entry.target, replace(image, platforms=entry.platforms or (self._platform,)))
        return _narrowed(entry, image, str(entry.target))

    def _source(self, entry: FromRegistry | FromArchive | FromLayout) -> Archive | Layout | Remote:
        match entry:
            case FromArchive():
                return Archive(entry.path, entry.image, self._stack)
            case FromLayout():
                return Layout(entry.path, entry.image)
            case FromRegistry():
                client = self._clients.at(api_host(entry.image))
                return Remote(client, entry.image, self._platform, entry.platforms)


def promises(found: Mapping[Target, Outcome]) -> dict[Target, Promise]:
    return {
        target: Promise(image.source or image.root.digest, image.root.digest)
        for target, image in found.items()
        if isinstance(image, Image)
    }


def _narrowed(entry: Entry, image: Outcome, name: str) -> Outcome:
    """Reduce an image to the platforms of its entry."""
    if isinstance(image, SandboxError) or not entry.platforms:
        return image if isinstance(image, SandboxError) else _checked(entry.target, image)
    whole = image
    try:
        image = narrow(whole, entry.platforms, name, lambda blob: _small(whole, blob))
    except SandboxError as error:
        return error
    return _checked(entry.target, replace(image, platforms=entry.platforms))


def _checked(target: Target, image: Image) -> Outcome:
    """Return an image for its target; an error if that is the digest of another, under which none looks for it.

    Fewer platforms, or layers as the engine has them, make another image.
    """
    if target.digest and target.digest != image.root.digest:
        return BadImage(
            f"{target} would be another image here",
            details=f"its digest would be {image.root.digest}",
            fix="add `as: name:tag`, or leave out `platforms:`",
        )
    return image


def _small(image: Image, blob: Descriptor) -> bytes:
    if blob.size > LARGEST_CONFIG:
        raise BadImage(f"{blob.digest} is too large for a configuration", details=f"{blob.size} bytes")
    with image.origin.open(blob) as chunks:
        return b"".join(digests.verified(chunks, blob.digest, blob.size))
