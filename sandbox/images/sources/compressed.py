"""Images of the Docker Engine with their raw layers compressed, for registries that are reached over a network."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.sources.docker_engine import DaemonImages, InRegistry
from sandbox.images.sources.docker_save import unnamed_file
from sandbox.images.sources.image_source import Daemon, EngineAccess, Inspected
from sandbox.images.transfer import Destination, Transfer, carry
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
    compressed again. Layers of an engine with the containerd store stay as they were made.
    """

    def __init__(
        self,
        kind: Compression,
        daemon: Daemon,
        destination: Destination,
        access: EngineAccess,
        stack: contextlib.ExitStack,
    ) -> None:
        self._kind = kind
        self._daemon = daemon
        self._destination = destination
        self._client = destination.client
        self._inventory = destination.inventory
        self._stack = stack
        self._folder = access.spool
        self._images = DaemonImages(daemon, destination, access, stack)
        self._known: dict[str, Descriptor] = {}  # compressed layers by the digests of the raw ones
        self._unsent: dict[str, IO[bytes]] = {}
        self._over = threading.Event()

    def resolve(self, entries: Sequence[FromDaemon]) -> dict[Target, Image | SandboxError]:
        classic = [image for entry in entries if (image := self._inspect(entry)) is not None]
        trees = list(self._destination.pool.map(self._tagged, classic))
        found: dict[Target, Image | SandboxError] = {
            image.target: tree.image(InRegistry()) for image, tree in zip(classic, trees, strict=True) if tree
        }
        waiting = [image for image in classic if image.target not in found]
        present = {
            digest: layer
            for image in waiting
            for digest in image.diff_ids
            if (layer := self._known.get(digest)) and self._has(image.repository, layer)
        }
        raw = self._images.read(waiting, present)
        names = {image.target for image in classic}
        plain = [entry for entry in entries if entry.target not in names]
        return found | self._compressed(raw, present) | (self._images.resolve(plain) if plain else {})

    def stop_reading(self) -> None:
        """Have the engine save images from now on."""
        self._images.stop_reading()

    def _inspect(self, entry: FromDaemon) -> Inspected | None:
        """Return the description of an image in the classic store; None for one that DaemonImages takes or explains."""
        with contextlib.suppress(SandboxError):
            content = self._daemon.inspect_image(entry.image)
            if content is not None and not content.get("Descriptor"):
                return Inspected.of(entry.target, entry.image, content)
        return None

    def _tagged(self, image: Inspected) -> Tree | None:
        """Return the image behind the target's tag if it is this one, complete; else record its layers as known."""
        with contextlib.suppress(SandboxError):
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
                return Tree((document,), blobs)
        return None

    def _has(self, repository: str, blob: Descriptor) -> bool:
        with contextlib.suppress(SandboxError):  # reported when the blob is sent
            return self._inventory.size(repository, blob.digest) == blob.size
        return False

    def _compressed(
        self, raw: Mapping[Target, Image | SandboxError], present: Mapping[str, Descriptor]
    ) -> dict[Target, Image | SandboxError]:
        """Compress the layers that are not `present`, several at once, and send each as soon as it is compressed."""
        missing: dict[str, tuple[Descriptor, Target, Image]] = {}
        for target, image in raw.items():
            if isinstance(image, Image):
                layers = [blob for blob in image.blobs if blob.media_type == OCI_LAYER and blob.digest not in present]
                missing = {blob.digest: (blob, target, image) for blob in layers} | missing
        pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="compress")
        try:
            made = pool.map(lambda of: self._sent(*of), missing.values())
            made_layers = {**present, **dict(zip(missing, made, strict=True))}
        except BaseException:
            self._over.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return {
            target: image if isinstance(image, SandboxError) else self._image(image, made_layers)
            for target, image in raw.items()
        }

    def _image(self, image: Image, layers: Mapping[str, Descriptor | SandboxError]) -> Image | SandboxError:
        content = manifests.parse(image.root)
        if not isinstance(content, Manifest) or any(layer.digest not in layers for layer in content.layers):
            return image
        made = [layers[layer.digest] for layer in content.layers]
        failed = next((layer for layer in made if isinstance(layer, SandboxError)), None)
        if failed:
            return failed
        tree = Tree.of(content.config, [layer for layer in made if isinstance(layer, Descriptor)])
        return tree.image(_Spooled(self._unsent, image.origin))

    def _sent(self, layer: Descriptor, target: Target, image: Image) -> Descriptor | SandboxError:
        """Compress a layer and send it; its copy on disk stays only where that fails, for another try."""
        with contextlib.ExitStack() as stack:
            file = unnamed_file(self._folder, stack)
            try:
                with image.origin.open(layer) as chunks:
                    blob = self._packed(digests.verified(chunks, layer.digest, layer.size), file)
            except SandboxError as error:
                return error
            spooled = _Spooled({blob.digest: file}, image.origin)
            if carry(Transfer(blob, (target.repository,), (spooled,), ()), self._destination):
                self._unsent[blob.digest] = file
                self._stack.enter_context(stack.pop_all())
            return blob

    def _packed(self, chunks: Iterator[bytes], file: IO[bytes]) -> Descriptor:
        size = 0
        packed = Measured(compressed(self._until_over(chunks), self._kind))
        for piece in packed:
            try:
                size += file.write(piece)
            except OSError as error:
                place = self._folder or tempfile.gettempdir()
                raise files.refused(f"layers cannot be compressed in {place}", error) from error
        file.flush()
        return Descriptor(self._kind.media_type, packed.digest, size)

    def _until_over(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._over.is_set():
                raise interruption.Interrupted
            yield chunk


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
