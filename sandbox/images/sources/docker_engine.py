"""Images of the local Docker Engine: only layers that the registry lacks are read, from the engine's own folders.

Where those cannot be read, or do not give what they should, the engine saves the images.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.sources import engine_store
from sandbox.images.sources.docker_save import Saved
from sandbox.images.sources.image_source import Daemon, EngineAccess, Inspected
from sandbox.images.transfer import Destination
from sandbox.oci import manifest as manifests
from sandbox.oci.image import Image, MissingBlob, Tree, walk
from sandbox.oci.manifest import OCI_CONFIG, OCI_LAYER, Descriptor, Document, Manifest
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import Target


class InRegistry:
    """The Origin of an image whose blobs are all in the registry already."""

    def open(self, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        raise MissingBlob(f"{blob.digest} is gone from the registry", fix="push again")


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
        self._access = engine_store.Access(access.container, stack) if access.reading else None
        self._saved = Saved(daemon, access.spool, stack)

    def resolve(self, entries: Sequence[FromDaemon]) -> dict[Target, Image | SandboxError]:
        found: dict[Target, Image | SandboxError] = {}
        looked: list[tuple[Inspected, Tree | None]] = []
        for entry, look in zip(entries, self._pool.map(self._look, entries), strict=True):
            if isinstance(look, SandboxError):
                found[entry.target] = look
            else:
                looked.append(look)
        asked = {blob.digest: image.target for image, tree in looked if tree for blob in tree.blobs}
        list(self._pool.map(self._ask, asked.items()))
        waiting: list[Inspected] = []
        for (inspected, _), image in zip(looked, self._pool.map(self._present, looked), strict=True):
            if image is None:
                waiting.append(inspected)
            else:
                found[inspected.target] = image
        return found | self.read(waiting)

    def read(self, waiting: Sequence[Inspected], present: Collection[str] = ()) -> dict[Target, Image | SandboxError]:
        """Return images with what the engine's folders or a save have of them.

        Layers that are `present`, by the digests of the raw ones, are not read, and their sizes are wrong.
        """
        sizes = dict.fromkeys(present, 0)
        contents = {image.name: self._daemon.inspect_image(image.name) or {} for image in waiting}
        images: Mapping[str, Image] = {}
        if self._access and contents:
            images = engine_store.read_images(
                contents, self._daemon.root, lambda digest: sizes.get(digest, self._size(digest)), self._access
            )
        read = {image.target: images[image.name] for image in waiting if image.name in images}
        return {**read, **self._saved.images([image for image in waiting if image.target not in read])}

    def stop_reading(self) -> None:
        """Have the engine save images from now on."""
        self._access = None

    def _size(self, digest: str) -> int | None:
        place = self._inventory.anywhere(digest)
        return place[1] if place else None

    def _look(self, entry: FromDaemon) -> tuple[Inspected, Tree | None] | SandboxError:
        """Return the engine's description of an image, and the image behind its tag if it is this one."""
        one = self._inspect(entry)
        return one if isinstance(one, SandboxError) else (one, self._tagged(one))

    def _inspect(self, entry: FromDaemon) -> Inspected | SandboxError:
        try:
            content = self._daemon.inspect_image(entry.image)
        except SandboxError as error:
            return error
        if content is None:
            return BadImage(
                f"the Docker Engine has no image {entry.image}",
                fix=f"docker pull {entry.image}, or build it; or push it `from: registry`",
            )
        return Inspected.of(entry.target, entry.image, content)

    def _present(self, look: tuple[Inspected, Tree | None]) -> Image | SandboxError | None:
        image, tagged = look
        try:
            if tagged and all(self._inventory.size(image.repository, b.digest) is not None for b in tagged.blobs):
                return tagged.image(InRegistry())
            return self._by_diff_ids(image)
        except SandboxError as error:
            return error

    def _ask(self, item: tuple[str, Target]) -> None:
        """Look up a blob once, before several images want to know about it at the same time."""
        with contextlib.suppress(SandboxError):  # raised again for each image
            self._inventory.size(item[1].repository, item[0])

    def _tagged(self, image: Inspected) -> Tree | None:
        """Return the image behind the target's tag, or its digest, if it is this one; that vouches for its blobs."""
        tag = image.target.tag or str(image.target.digest)
        for name in (tag, image.id) if image.is_document else (tag,):
            with contextlib.suppress(SandboxError):  # the push reports problems of the registry
                document = self._client.manifest(image.repository, name)
                self._inventory.note(image.repository, name, document.digest if document else None)
                if document and _is_of(document, image):
                    tree = walk(document, lambda child: self._client.manifest(image.repository, child.digest))
                    self._inventory.vouch(image.repository, name, document, tree.blobs)
                    return tree
        return None

    def _by_diff_ids(self, image: Inspected) -> Image | None:
        """Return the image with raw layers, if its id names a configuration and the registry has all blobs.

        A raw layer's digest is its diff id, so the engine's description and the registry's sizes suffice.
        """
        for digest in image.diff_ids:
            self._inventory.size(image.repository, digest)
        config = self._inventory.size(image.repository, image.id)
        places = [self._inventory.anywhere(digest) for digest in image.diff_ids]
        if config is None or not all(places):
            return None
        sizes = [place[1] for place in places if place]
        layers = [Descriptor(OCI_LAYER, name, size) for name, size in zip(image.diff_ids, sizes, strict=True)]
        return Tree.of(Descriptor(OCI_CONFIG, image.id, config), layers).image(InRegistry())


def _is_of(document: Document, image: Inspected) -> bool:
    content = manifests.parse(document)
    if isinstance(content, Manifest) and content.config.digest == image.id:
        return tuple(layer.digest for layer in content.layers) == image.diff_ids
    return document.digest == image.id
