"""Images of the local Docker Engine: layers that the registry lacks, from the engine's own folders, else a save."""

import contextlib
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from sandbox.engine import Engine
from sandbox.errors import Away, SandboxError
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.sources.engine_store import read_images
from sandbox.images.sources.image_source import EngineAccess, Inspected
from sandbox.images.sources.image_tar import archive_image, unnamed_file
from sandbox.images.transfer import RENEW, Destination
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.client import InRegistry
from sandbox.oci.digest import CHUNK, Measured
from sandbox.oci.image import Image, MissingBlob, Origin, walk
from sandbox.oci.manifest import OCI_LAYER, OCI_LAYER_GZIP, Compression, Descriptor, Document, Manifest
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import Target
from sandbox.system import files, interruption

Images = dict[Target, Image | SandboxError]


@dataclass
class EngineImages:
    """All images of a run that are in the engine, together, because they share layers and a save.

    An existing tag shows which `packed` layers belong to which raw ones, so unchanged layers are neither read nor
    compressed again. Images of an engine with the containerd store keep their layers.
    """

    daemon: Engine
    destination: Destination
    access: EngineAccess
    kind: Compression
    stack: contextlib.ExitStack
    packed: dict[str, Descriptor] = field(default_factory=dict)  # compressed layers by the digests of the raw ones
    spooled: dict[str, IO[bytes]] = field(default_factory=dict)  # those of them that the registry lacks

    def images(self, entries: Sequence[FromDaemon]) -> Images:
        """Return the images; in a dry run, images that the engine would have to save are missing."""
        images = dict(
            zip((entry.target for entry in entries), self.destination.pool.map(self._look, entries), strict=True)
        )
        read = self._read([image for image in images.values() if isinstance(image, Inspected)])
        return {target: image for target, image in images.items() if not isinstance(image, Inspected)} | read

    def _look(self, entry: FromDaemon) -> Image | Inspected | SandboxError:
        try:
            content = self.daemon.inspect_image(entry.image)
            if content is None:
                return BadImage(
                    f"the Docker Engine has no image {entry.image}",
                    fix=f"docker pull {entry.image}, or build it; or push it `from: registry`",
                )
            image = Inspected(entry.target, entry.image, content)
            if tagged := self._tagged(image):
                return tagged
            if self.kind is Compression.RAW:
                for digest in image.diff_ids:  # so that layers that the registry has are not read
                    self.destination.inventory.size(image.target.repository, digest)
        except SandboxError as error:
            return error
        return image

    def _tagged(self, image: Inspected) -> Image | None:
        client, inventory = self.destination.client, self.destination.inventory
        repository, tag = image.target.repository, image.target.tag or str(image.target.digest)
        for name in (tag, image.id) if image.is_document else (tag,):
            with contextlib.suppress(SandboxError):  # the push reports problems of the registry
                document = client.manifest(repository, name)
                if document is None or not (document.digest == image.id or self._has_layers_of(image, document)):
                    continue
                origin = InRegistry(client, repository)
                whole = walk(document, lambda child: client.manifest(repository, child.digest), origin)
                inventory.vouch(repository, whole.blobs)
                if all(inventory.size(repository, blob.digest) is not None for blob in whole.blobs):
                    return replace(whole, source=image.id, published=name == tag)
        return None

    def _has_layers_of(self, image: Inspected, document: Document) -> bool:
        content, repository = manifests.parse(document), image.target.repository
        if not isinstance(content, Manifest) or image.is_document:
            return False
        diff_ids, config, is_same = image.diff_ids, content.config, content.config.digest == image.id
        if self.kind is Compression.RAW:
            return is_same and tuple(layer.digest for layer in content.layers) == diff_ids
        if not is_same:
            with self.destination.client.blob(repository, config.digest) as chunks:
                diff_ids = manifests.diff_ids(b"".join(digests.verified(chunks, config.digest, config.size)))
        if {layer.media_type for layer in content.layers} - {OCI_LAYER_GZIP} or len(diff_ids) != len(content.layers):
            return False
        for digest, layer in zip(diff_ids, content.layers, strict=True):
            if self.destination.inventory.size(repository, layer.digest) == layer.size:
                self.packed[digest] = layer
        return is_same

    def _read(self, images: Sequence[Inspected]) -> Images:
        def size_of(digest: str) -> int | None:
            # Layers that are in the registry compressed are not read, so their sizes may be wrong.
            place = self.destination.inventory.anywhere(digest)
            return 0 if digest in self.packed else place[1] if place else None

        readable: Mapping[str, Image] = {}
        # The digest of a compressed layer is known only after it was compressed.
        is_measured = not self.destination.dry or self.kind is Compression.RAW
        if self.access.reading and images and is_measured:
            wanted = list({image.name: image for image in images}.values())
            readable = read_images(wanted, self.daemon.root, size_of, self.access.container, self.stack)
        results: Images = {image.target: readable[image.name] for image in images if image.name in readable}
        if not self.destination.dry:
            results |= self._saved([image for image in images if image.name not in readable])
        for image in images:
            result = results.get(image.target)
            if isinstance(result, Image):
                result = replace(result, source=image.id)
                is_compressed = self.kind is not Compression.RAW and not image.is_document
                results[image.target] = self._compressed(result) if is_compressed else result
        return results

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

    def _compressed(self, image: Image) -> Image | SandboxError:
        content = manifests.parse(image.root)
        if not isinstance(content, Manifest) or any(layer.media_type != OCI_LAYER for layer in content.layers):
            return image
        missing = [layer for layer in dict.fromkeys(content.layers) if layer.digest not in self.packed]
        try:
            packed = list(self.destination.pool.map(lambda layer: self._pack(layer, image.origin), missing))
        except SandboxError as error:
            error.fix = error.fix or RENEW
            return error
        self.packed |= zip((layer.digest for layer in missing), packed, strict=True)
        layers = [self.packed[layer.digest] for layer in content.layers]
        return Image.of(content.config, layers, _Spooled(self.spooled, image.origin), source=image.source)

    def _pack(self, layer: Descriptor, origin: Origin) -> Descriptor:
        file, size = unnamed_file(self.access.spool, self.stack), 0
        with origin.open(layer) as chunks:
            packed = Measured(gzipped(digests.verified(chunks, layer.digest, layer.size)))
            for piece in packed:
                interruption.check()
                self._write(file, piece, "layers cannot be compressed")
                size += len(piece)
        self.spooled[packed.digest] = file
        return Descriptor(OCI_LAYER_GZIP, packed.digest, size)


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


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield `chunks`, compressed, piece by piece; a given version of zlib always gives the same bytes.

    Level 1 is three times as fast as level 6 and costs about a tenth more bytes.
    """
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)  # with the header of gzip
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


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
