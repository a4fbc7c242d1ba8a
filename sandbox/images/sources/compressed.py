"""Images of the Docker Engine with their raw layers compressed, for registries that are reached over a network."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.sources.archive_members import unnamed_file
from sandbox.images.sources.docker_engine import DaemonImages, InRegistry
from sandbox.images.sources.image_source import Inspected
from sandbox.images.transfer import Destination
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.compression import Compression, compressed
from sandbox.oci.digest import CHUNK, Measured
from sandbox.oci.image import Image, Origin, Tree
from sandbox.oci.manifest import OCI_LAYER, Descriptor, Manifest
from sandbox.oci.reference import Target
from sandbox.system import files, interruption


class CompressedImages:
    """All images of a run that are in the engine, as DaemonImages gives them, but with compressed layers.

    An existing tag tells which compressed layers belong to which raw ones, so unchanged layers are neither read nor
    compressed again. Layers of an engine with the containerd store stay as they were made. The compressed layers are in
    files in `folder` that last as long as `stack`.
    """

    def __init__(
        self,
        raw: DaemonImages,
        kind: Compression,
        destination: Destination,
        folder: Path | None,
        stack: contextlib.ExitStack,
    ) -> None:
        self._raw = raw
        self._kind = kind
        self._client = destination.client
        self._inventory = destination.inventory
        self._pool = destination.pool
        self._folder = folder
        self._stack = stack
        self._known: dict[str, Descriptor] = {}  # compressed layers by the digests of the raw ones

    def images(self, entries: Sequence[FromDaemon]) -> dict[Target, Image | SandboxError]:
        classic = [
            image
            for image in self._pool.map(self._raw.inspect, entries)
            if isinstance(image, Inspected) and not image.is_document
        ]
        images: dict[Target, Image | SandboxError] = {
            image.target: tagged
            for image, tagged in zip(classic, self._pool.map(self._tagged, classic), strict=True)
            if tagged
        }
        changed = [image for image in classic if image.target not in images]
        present = {
            digest: layer
            for image in changed
            for digest in image.diff_ids
            if (layer := self._known.get(digest)) and self._has(image.repository, layer)
        }
        images |= self._compressed(self._raw.read(changed, present), present)
        others = [entry for entry in entries if entry.target not in images]
        return images | (self._raw.images(others) if others else {})

    def stop_reading(self) -> None:
        self._raw.stop_reading()

    def _tagged(self, image: Inspected) -> Image | None:
        """Return the image behind the target's tag if it is this one, complete; else record its layers as known."""
        with contextlib.suppress(SandboxError):  # the push reports problems of the registry
            document = self._client.manifest(image.repository, image.target.tag or str(image.target.digest))
            content = manifests.parse(document) if document else None
            if document is None or not isinstance(content, Manifest):
                return None
            if any(layer.media_type != self._kind.media_type for layer in content.layers):
                return None
            diff_ids = image.diff_ids
            if content.config.digest != image.id:
                with self._client.blob(image.repository, content.config.digest) as chunks:
                    config = b"".join(digests.verified(chunks, content.config.digest, content.config.size))
                diff_ids = manifests.diff_ids(config)
            if len(diff_ids) != len(content.layers):
                return None
            self._known |= zip(diff_ids, content.layers, strict=True)
            blobs = tuple(dict.fromkeys((content.config, *content.layers)))
            if content.config.digest == image.id and all(self._has(image.repository, blob) for blob in blobs):
                tree = Tree((document,), blobs)
                return replace(tree.image(InRegistry(self._client, image.repository)), source=image.id, published=True)
        return None

    def _has(self, repository: str, blob: Descriptor) -> bool:
        with contextlib.suppress(SandboxError):  # reported when the blob is sent
            return self._inventory.size(repository, blob.digest) == blob.size
        return False

    def _compressed(
        self, raw: Mapping[Target, Image | SandboxError], present: Mapping[str, Descriptor]
    ) -> dict[Target, Image | SandboxError]:
        """Compress the layers that are not `present`, one on each core."""
        missing = {
            blob: image.origin
            for image in raw.values()
            if isinstance(image, Image)
            for blob in image.blobs
            if blob.media_type == OCI_LAYER and blob.digest not in present
        }
        pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="compress")
        try:
            packed = dict(zip(missing, pool.map(lambda item: self._packed(*item), missing.items()), strict=True))
        finally:
            pool.shutdown(cancel_futures=True)
        layers: dict[str, Descriptor | SandboxError] = dict(present)
        spooled = {}
        for blob, result in packed.items():
            if isinstance(result, SandboxError):
                layers[blob.digest] = result
            else:
                layers[blob.digest], spooled[result[0].digest] = result
        return {
            target: image if isinstance(image, SandboxError) else _image(image, layers, spooled)
            for target, image in raw.items()
        }

    def _packed(self, layer: Descriptor, origin: Origin) -> tuple[Descriptor, IO[bytes]] | SandboxError:
        """Compress a layer into a file."""
        file, size = unnamed_file(self._folder, self._stack), 0
        try:
            with origin.open(layer) as chunks:
                packed = Measured(compressed(digests.verified(chunks, layer.digest, layer.size), self._kind))
                for piece in packed:
                    interruption.check()
                    size += self._write(file, piece)
        except SandboxError as error:
            return error
        return Descriptor(self._kind.media_type, packed.digest, size), file

    def _write(self, file: IO[bytes], piece: bytes) -> int:
        try:
            count = file.write(piece)
            file.flush()
        except OSError as error:
            place = self._folder or tempfile.gettempdir()
            raise files.refused(f"layers cannot be compressed in {place}", error) from error
        return count


def _image(
    image: Image, layers: Mapping[str, Descriptor | SandboxError], spooled: Mapping[str, IO[bytes]]
) -> Image | SandboxError:
    content = manifests.parse(image.root)
    if not isinstance(content, Manifest) or any(layer.digest not in layers for layer in content.layers):
        return image
    packed = []
    for layer in content.layers:
        result = layers[layer.digest]
        if isinstance(result, SandboxError):
            return result
        packed.append(result)
    return replace(Tree.of(content.config, packed).image(_Spooled(spooled, image.origin)), source=image.source)


@dataclass(frozen=True)
class _Spooled:
    """The Origin of compressed layers in `spooled` files, and of all else by the origin of the raw image."""

    spooled: Mapping[str, IO[bytes]]
    raw: Origin

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        if file := self.spooled.get(blob.digest):
            yield _pieces(file, blob.size)
        else:
            with self.raw.open(blob) as chunks:
                yield chunks


def _pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    start = 0
    while start < size and (piece := os.pread(file.fileno(), min(CHUNK, size - start), start)):
        start += len(piece)
        yield piece
