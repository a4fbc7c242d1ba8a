"""Images of the local Docker Engine: layers that the registry lacks, from the engine's own folders, else a save."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from sandbox.errors import Away, SandboxError
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.sources.engine_store import read_images
from sandbox.images.sources.image_source import Daemon, EngineAccess, Inspected, NotSaved
from sandbox.images.sources.image_tar import archive_image, unnamed_file
from sandbox.images.transfer import Destination
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.client import InRegistry
from sandbox.oci.compression import Compression, compressed
from sandbox.oci.digest import CHUNK, Measured
from sandbox.oci.image import Image, MissingBlob, Origin, walk
from sandbox.oci.manifest import OCI_CONFIG, OCI_LAYER, Descriptor, Manifest
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import Target
from sandbox.system import files, interruption

Images = dict[Target, Image | SandboxError]


@dataclass
class EngineImages:
    """All images of a run that are in the engine, together, because they share layers and a save.

    An existing tag shows which `compressed` layers belong to which raw ones, so unchanged layers are neither read nor
    compressed again. Images of an engine with the containerd store keep their layers.
    """

    daemon: Daemon
    destination: Destination
    access: EngineAccess
    kind: Compression
    stack: contextlib.ExitStack
    compressed: dict[str, Descriptor] = field(default_factory=dict)  # by the digests of the raw ones

    def images(self, entries: Sequence[FromDaemon]) -> Images:
        images: Images = {}
        missing: list[Inspected] = []
        for entry, result in zip(entries, self.destination.pool.map(self._look, entries), strict=True):
            if isinstance(result, Inspected):
                missing.append(result)
            else:
                images[entry.target] = result
        present = {
            digest: layer
            for image in missing
            for digest in image.diff_ids
            if (layer := self.compressed.get(digest)) and self._has(image.target.repository, layer)
        }
        read = self._read(missing, present)
        raw = {image.target: read[image.target] for image in missing if self._is_compressed(image)}
        return images | read | (self._with_compressed_layers(raw, present) if raw else {})

    def _is_compressed(self, image: Inspected) -> bool:
        return self.kind is not Compression.RAW and not image.is_document

    def _look(self, entry: FromDaemon) -> Image | Inspected | SandboxError:
        try:
            image = Inspected.of(entry, self.daemon)
            if self._is_compressed(image):
                return self._tagged_compressed(image) or image
            return self._tagged(image) or self._of_present_layers(image) or image
        except SandboxError as error:
            return error

    def _tagged(self, image: Inspected) -> Image | None:
        client, inventory = self.destination.client, self.destination.inventory
        repository, tag = image.target.repository, image.target.tag or str(image.target.digest)
        for name in (tag, image.id) if image.is_document else (tag,):
            with contextlib.suppress(SandboxError):  # the push reports problems of the registry
                document = client.manifest(repository, name)
                if document is None:
                    continue
                content = manifests.parse(document)
                same_layers = (
                    isinstance(content, Manifest)
                    and content.config.digest == image.id
                    and tuple(layer.digest for layer in content.layers) == image.diff_ids
                )
                if document.digest != image.id and not same_layers:
                    continue
                origin = InRegistry(client, repository)
                whole = walk(document, lambda child: client.manifest(repository, child.digest), origin)
                inventory.vouch(repository, whole.blobs)
                if all(inventory.size(repository, blob.digest) is not None for blob in whole.blobs):
                    return replace(whole, source=image.id, published=name == tag)
        return None

    def _of_present_layers(self, image: Inspected) -> Image | None:
        """Return the image with raw layers, whose digests are diff ids, if the registry has all its blobs."""
        repository, inventory = image.target.repository, self.destination.inventory
        for digest in image.diff_ids:
            inventory.size(repository, digest)
        config = inventory.size(repository, image.id)
        places = {digest: inventory.anywhere(digest) for digest in image.diff_ids}
        if config is None or not all(places.values()):
            return None
        layers = [Descriptor(OCI_LAYER, digest, place[1]) for digest in image.diff_ids if (place := places[digest])]
        origin = InRegistry(self.destination.client, repository)
        return Image.of(Descriptor(OCI_CONFIG, image.id, config), layers, origin, source=image.id)

    def _tagged_compressed(self, image: Inspected) -> Image | None:
        """Return the image that has the target's tag if it is this one, complete; else remember its layers."""
        repository, client = image.target.repository, self.destination.client
        with contextlib.suppress(SandboxError):  # the push reports problems of the registry
            document = client.manifest(repository, image.target.tag or str(image.target.digest))
            content = manifests.parse(document) if document else None
            if document is None or not isinstance(content, Manifest):
                return None
            diff_ids, config = image.diff_ids, content.config
            if config.digest != image.id:
                with client.blob(repository, config.digest) as chunks:
                    diff_ids = manifests.diff_ids(b"".join(digests.verified(chunks, config.digest, config.size)))
            kinds = {layer.media_type for layer in content.layers}
            if not kinds <= {self.kind.media_type} or len(diff_ids) != len(content.layers):
                return None
            self.compressed |= zip(diff_ids, content.layers, strict=True)
            blobs = tuple(dict.fromkeys((config, *content.layers)))
            if config.digest == image.id and all(self._has(repository, blob) for blob in blobs):
                return Image((document,), blobs, InRegistry(client, repository), source=image.id, published=True)
        return None

    def _has(self, repository: str, blob: Descriptor) -> bool:
        with contextlib.suppress(SandboxError):  # reported when the blob is sent
            return self.destination.inventory.size(repository, blob.digest) == blob.size
        return False

    def _read(self, images: Sequence[Inspected], present: Collection[str]) -> Images:
        """Return images as the engine's folders or a save have them.

        Layers that are `present`, by the digests of the raw ones, are not read, and their sizes are wrong.
        """

        def size_of(digest: str) -> int | None:
            place = self.destination.inventory.anywhere(digest)
            return 0 if digest in present else place[1] if place else None

        readable: Mapping[str, Image] = {}
        if self.access.reading and images:
            contents = {image.name: image.content for image in images}
            readable = read_images(contents, self.daemon.root, size_of, self.access.container, self.stack)
        results: Images = {image.target: readable[image.name] for image in images if image.name in readable}
        others = [image for image in images if image.name not in readable]
        results |= self._saved(others) if self.access.saving else {image.target: NotSaved(image) for image in others}
        sources = {image.target: image.id for image in images}
        return {
            target: replace(result, source=sources[target]) if isinstance(result, Image) else result
            for target, result in results.items()
        }

    def _saved(self, images: Sequence[Inspected]) -> Images:
        if not images:
            return {}
        try:
            file = unnamed_file(self.access.spool, self.stack)
            for chunk in self.daemon.save(list(dict.fromkeys(image.name for image in images))):
                interruption.check()
                self._write(file, chunk, "images cannot be saved")
        except SandboxError as error:
            if len(images) == 1 or isinstance(error, Away):
                return {image.target: error for image in images}
            return {target: result for image in images for target, result in self._saved([image]).items()}
        archive = Path(f"/proc/self/fd/{file.fileno()}")
        return {image.target: _saved_image(archive, image, self.stack) for image in images}

    def _write(self, file: IO[bytes], data: bytes, problem: str) -> None:
        try:
            file.write(data)
            file.flush()
        except OSError as error:
            raise files.refused(f"{problem} in {self.access.spool or tempfile.gettempdir()}", error) from error

    def _with_compressed_layers(self, raw: Images, present: Mapping[str, Descriptor]) -> Images:
        missing = {
            blob: image.origin
            for image in raw.values()
            if isinstance(image, Image)
            for blob in image.blobs
            if blob.media_type == OCI_LAYER and blob.digest not in present
        }
        pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="compress")
        try:
            results = list(pool.map(lambda item: self._compress(*item), missing.items()))
        finally:
            pool.shutdown(cancel_futures=True)
        layers: dict[str, Descriptor | SandboxError] = dict(present)
        spooled: dict[str, IO[bytes]] = {}
        for blob, result in zip(missing, results, strict=True):
            if isinstance(result, SandboxError):
                layers[blob.digest] = result
            else:
                layers[blob.digest], spooled[result[0].digest] = result
        return {
            target: result if isinstance(result, SandboxError) else _replaced_layers(result, layers, spooled)
            for target, result in raw.items()
        }

    def _compress(self, layer: Descriptor, origin: Origin) -> tuple[Descriptor, IO[bytes]] | SandboxError:
        file, size = unnamed_file(self.access.spool, self.stack), 0
        try:
            with origin.open(layer) as chunks:
                packed = Measured(compressed(digests.verified(chunks, layer.digest, layer.size), self.kind))
                for piece in packed:
                    interruption.check()
                    self._write(file, piece, "layers cannot be compressed")
                    size += len(piece)
        except SandboxError as error:
            return error
        return Descriptor(self.kind.media_type, packed.digest, size), file


def _saved_image(archive: Path, image: Inspected, stack: contextlib.ExitStack) -> Image | SandboxError:
    for name in (image.id, image.name):
        try:
            return archive_image(archive, name, stack)
        except MissingBlob as error:
            return MissingBlob(
                f"the Docker Engine's save of {image.name} is not complete",
                details=error.details,
                fix=f"docker image rm {image.name}, then pull or build it again; or push it `from: registry`",
            )
        except BadImage as error:
            problem = error
    problem.fix = f"docker image rm {image.name}, then pull or build it again"
    return problem


def _replaced_layers(
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
    return Image.of(content.config, packed, _Spooled(spooled, image.origin), source=image.source)


@dataclass(frozen=True)
class _Spooled:
    spooled: Mapping[str, IO[bytes]]
    raw: Origin

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        if file := self.spooled.get(blob.digest):
            starts = range(0, blob.size, CHUNK)
            yield (os.pread(file.fileno(), min(CHUNK, blob.size - start), start) for start in starts)
        else:
            with self.raw.open(blob) as chunks:
                yield chunks
