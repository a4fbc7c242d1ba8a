"""Turns the entries of images.yaml into images: their content and origin, before anything is transferred."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from sandbox.engine import Engine
from sandbox.errors import MissingTool, SandboxError
from sandbox.images.images_yaml import Entry, FromArchive, FromBuild, FromDaemon, FromLayout, FromRegistry
from sandbox.images.lockfile import Promise
from sandbox.images.sources.docker_engine import EngineImages
from sandbox.images.sources.image_build import build_all
from sandbox.images.sources.image_source import EngineAccess
from sandbox.images.sources.image_tar import archive_image
from sandbox.images.sources.layout import LARGEST_DOCUMENT, layout_image
from sandbox.images.transfer import Destination
from sandbox.oci import digest as digests
from sandbox.oci.client import Client, Clients, InRegistry
from sandbox.oci.image import Image, MissingBlob, Origin, choose, fits, narrow, walk
from sandbox.oci.manifest import Compression, Descriptor, Document, Index, parse
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import DOCKER_HUB, DOCKER_HUB_API, Reference, Target

Outcome = Image | SandboxError


@dataclass
class Lookup:
    """Finds the images of entries; files and connections that it opens live as long as `stack`.

    `platform` is what tags of other registries are reduced to.
    """

    clients: Clients
    destination: Destination
    daemon: Engine | None
    access: EngineAccess
    compression: Compression
    stack: ExitStack
    platform: str

    def built(
        self, entries: Sequence[Entry], say: Callable[[str], None]
    ) -> tuple[list[FromDaemon], dict[Target, SandboxError]]:
        """Build images, except in a dry run; return the entries whose images the engine has, and the failures."""
        local = [entry for entry in entries if isinstance(entry, FromDaemon | FromBuild)]
        if self.daemon is None:
            return [], {e.target: MissingTool("no Docker Engine", details=f"{e.target} comes from it") for e in local}
        results: dict[Target, FromDaemon | SandboxError] = {e.target: e for e in local if isinstance(e, FromDaemon)}
        building = [entry for entry in local if isinstance(entry, FromBuild) and not self.destination.dry]
        results |= build_all(building, self.daemon, say, self.access.buildx)
        ready = [image for entry in local if isinstance(image := results.get(entry.target), FromDaemon)]
        return ready, {target: error for target, error in results.items() if isinstance(error, SandboxError)}

    def sources(self, local: Sequence[FromDaemon]) -> dict[Target, Promise]:
        contents = {entry.target: self.daemon.inspect_image(entry.image) if self.daemon else None for entry in local}
        return {target: Promise(str((content or {}).get("Id", "")), "") for target, content in contents.items()}

    def images(self, entries: Sequence[Entry], local: Sequence[FromDaemon]) -> dict[Target, Outcome]:
        others = [entry for entry in entries if isinstance(entry, FromRegistry | FromArchive | FromLayout)]
        found = self.destination.pool.map(self._from_elsewhere, others)
        outcomes = dict(zip((entry.target for entry in others), found, strict=True))
        if self.daemon and local:
            engine = EngineImages(self.daemon, self.destination, self.access, self.compression, self.stack)
            images = engine.images(local)
            outcomes |= {e.target: _narrowed(e, images[e.target], e.image) for e in local if e.target in images}
        return outcomes

    def _from_elsewhere(self, entry: FromRegistry | FromArchive | FromLayout) -> Outcome:
        try:
            match entry:
                case FromArchive():
                    image = archive_image(entry.path, entry.image, self.stack)
                case FromLayout():
                    image = layout_image(entry.path, entry.image)
                case FromRegistry():
                    host = DOCKER_HUB_API if entry.image.host == DOCKER_HUB else entry.image.host
                    image = remote_image(self.clients.at(host), entry.image, self.platform, entry.platforms)
        except SandboxError as error:
            return error
        return _narrowed(entry, image, str(entry.target))


def remote_image(client: Client, reference: Reference, platform: str, platforms: tuple[str, ...]) -> Image:
    """Return an image with only `platforms`; without any, a tag is reduced to `platform`, a digest is copied whole."""
    name = reference.familiar
    root = client.manifest(reference.path, reference.name)
    if root is None:
        details = f"{client.url} does not know it"
        raise BadImage(f"there is no image {name}", details=details, fix="check its name and tag")
    source, content = root.digest, parse(root)

    def child(descriptor: Descriptor) -> Document:
        document = client.manifest(reference.path, descriptor.digest)
        if document is None:
            raise MissingBlob(
                f"{name} is not complete in its registry",
                details=f"missing: {descriptor}",
                fix="choose another tag, or tell the image's publisher",
            )
        return document

    if isinstance(content, Index) and not platforms and not reference.digest:
        # A child may name no platform (image-spec, image-index.md). Nodes choose from such an index themselves.
        existing = [child.platform or "" for child in content.manifests if not child.is_attestation]
        if all(existing) or any(fits(text, platform) for text in existing):
            platforms = (platform,)
    reduced = platforms if isinstance(content, Index) else ()
    if reduced:
        root = choose(root, reduced, name, child)
    return replace(walk(root, child, InRegistry(client, reference.path), name=name), source=source, platforms=reduced)


def _narrowed(entry: Entry, image: Outcome, name: str) -> Outcome:
    if isinstance(image, Image) and entry.platforms and not image.platforms:
        try:
            narrowed = narrow(image, entry.platforms, name, partial(_config, image.origin))
        except SandboxError as error:
            return error
        image = replace(narrowed, platforms=entry.platforms)
    # Fewer platforms, or layers as the engine has them, make another image.
    if isinstance(image, Image) and entry.target.digest not in (None, image.root.digest):
        return BadImage(
            f"{entry.target} would be another image here",
            details=f"its digest would be {image.root.digest}",
            fix="add `as: name:tag`, or leave out `platforms:`",
        )
    return image


def _config(origin: Origin, blob: Descriptor) -> bytes:
    if blob.size > LARGEST_DOCUMENT:
        raise BadImage(f"{blob.digest} is too large for a configuration", details=f"{blob.size} bytes")
    with origin.open(blob) as chunks:
        return b"".join(digests.verified(chunks, blob.digest, blob.size))
