"""Images of the local Docker Engine: only layers that the registry lacks are read, from the engine's own folders.

Where those cannot be read, or do not give what they should, the engine saves the images.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.sources import engine_store
from sandbox.images.sources.docker_save import saved_images
from sandbox.images.sources.image_source import Daemon, EngineAccess, Inspected, NotSaved
from sandbox.images.transfer import Destination
from sandbox.oci import manifest as manifests
from sandbox.oci.client import Client
from sandbox.oci.image import Image, Tree, walk
from sandbox.oci.manifest import OCI_CONFIG, OCI_LAYER, Descriptor, Document, Manifest
from sandbox.oci.reference import Target


@dataclass(frozen=True)
class InRegistry:
    """The Origin of an image whose blobs are all in the registry already."""

    client: Client
    repository: str

    def open(self, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        return self.client.blob(self.repository, blob.digest)


class DaemonImages:
    """All images of a run that are in the engine, together, because they share layers and a save.

    Files and containers that read them live as long as `stack`.
    """

    def __init__(
        self, daemon: Daemon, destination: Destination, access: EngineAccess, stack: contextlib.ExitStack
    ) -> None:
        self._daemon = daemon
        self._client = destination.client
        self._inventory = destination.inventory
        self._pool = destination.pool
        self._access = access
        self._stack = stack

    def images(self, entries: Sequence[FromDaemon]) -> dict[Target, Image | SandboxError]:
        images: dict[Target, Image | SandboxError] = {}
        missing = []
        for entry, look in zip(entries, self._pool.map(self._look, entries), strict=True):
            if isinstance(look, Inspected):
                missing.append(look)
            else:
                images[entry.target] = look
        return images | self.read(missing)

    def inspect(self, entry: FromDaemon) -> Inspected | SandboxError:
        try:
            return Inspected.of(entry, self._daemon)
        except SandboxError as error:
            return error

    def read(self, images: Sequence[Inspected], present: Collection[str] = ()) -> dict[Target, Image | SandboxError]:
        """Return images with what the engine's folders or a save have of them.

        Layers that are `present`, by the digests of the raw ones, are not read, and their sizes are wrong.
        """
        sizes = dict.fromkeys(present, 0)
        contents = {image.name: image.content for image in images}
        readable: Mapping[str, Image] = {}
        if self._access.reading and contents:
            reading = engine_store.Access(self._access.container, self._stack)
            readable = engine_store.read_images(
                contents, self._daemon.root, lambda digest: sizes.get(digest, self._size(digest)), reading
            )
        named = [image for image in images if image.name in readable]
        read = {image.target: replace(readable[image.name], source=image.id) for image in named}
        rest = [image for image in images if image.target not in read]
        if not self._access.saving:
            return {**read, **{image.target: NotSaved(image) for image in rest}}
        saved = saved_images(self._daemon, rest, self._access.spool, self._stack)
        ids = {image.target: image.id for image in rest}
        return {
            **read,
            **{t: replace(image, source=ids[t]) if isinstance(image, Image) else image for t, image in saved.items()},
        }

    def stop_reading(self) -> None:
        self._access = replace(self._access, reading=False)

    def _size(self, digest: str) -> int | None:
        place = self._inventory.anywhere(digest)
        return place[1] if place else None

    def _look(self, entry: FromDaemon) -> Image | Inspected | SandboxError:
        """Return an image that the registry has, else the engine's description of it."""
        image = self.inspect(entry)
        try:
            return image if isinstance(image, SandboxError) else self._tagged(image) or self._by_diff_ids(image)
        except SandboxError as error:
            return error

    def _tagged(self, image: Inspected) -> Image | None:
        """Return the image behind the target's tag, or its digest, if it is this one, complete."""
        tag = image.target.tag or str(image.target.digest)
        for name in (tag, image.id) if image.is_document else (tag,):
            with contextlib.suppress(SandboxError):  # the push reports problems of the registry
                document = self._client.manifest(image.repository, name)
                if document is None or not _is_of(document, image):
                    continue
                tree = walk(document, lambda child: self._client.manifest(image.repository, child.digest))
                self._inventory.vouch(image.repository, tree.blobs)
                if all(self._inventory.size(image.repository, blob.digest) is not None for blob in tree.blobs):
                    whole = tree.image(InRegistry(self._client, image.repository))
                    return replace(whole, source=image.id, published=name == tag)
        return None

    def _by_diff_ids(self, image: Inspected) -> Image | Inspected:
        """Return the image with raw layers, if its id names a configuration and the registry has all blobs.

        A raw layer's digest is its diff id, so the engine's description and the registry's sizes suffice.
        """
        for digest in image.diff_ids:
            self._inventory.size(image.repository, digest)
        config = self._inventory.size(image.repository, image.id)
        places = [self._inventory.anywhere(digest) for digest in image.diff_ids]
        if config is None or not all(places):
            return image
        sizes = [place[1] for place in places if place]
        layers = [Descriptor(OCI_LAYER, name, size) for name, size in zip(image.diff_ids, sizes, strict=True)]
        tree = Tree.of(Descriptor(OCI_CONFIG, image.id, config), layers)
        return replace(tree.image(InRegistry(self._client, image.repository)), source=image.id)


def _is_of(document: Document, image: Inspected) -> bool:
    content = manifests.parse(document)
    if isinstance(content, Manifest) and content.config.digest == image.id:
        return tuple(layer.digest for layer in content.layers) == image.diff_ids
    return document.digest == image.id
