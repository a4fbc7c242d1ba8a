"""Images of the Docker Engine with their raw layers compressed, for registries that are reached over a network."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.sources import engine_store
from sandbox.images.sources.compress_spool import CompressSpool, Scratch
from sandbox.images.sources.docker_engine import DaemonImages, InRegistry
from sandbox.images.sources.docker_save import Documents, by_halves, take_saved
from sandbox.images.sources.image_source import Daemon, EngineAccess, Helper, Inspected, Job
from sandbox.images.transfer import Destination, Transfer, carry
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.compression import Compression
from sandbox.oci.image import Image, Origin, Tree
from sandbox.oci.manifest import OCI_CONFIG, Descriptor, Manifest
from sandbox.oci.reference import Target
from sandbox.system import interruption

log = logging.getLogger(__name__)


class CompressedImages:
    """All images of a run that are in the engine, as DaemonImages gives them, but with compressed layers.

    An existing tag tells which compressed layers belong to which raw ones, so unchanged layers are neither read nor
    compressed again. Where the `access` permits, layers are read from the engine's own folders, several at once, else
    they come out of one save. Layers of an engine with the containerd store stay as they were made.
    """

    def __init__(
        self,
        kind: Compression,
        daemon: Daemon,
        destination: Destination,
        stack: contextlib.ExitStack,
        access: EngineAccess,
    ) -> None:
        self._kind = kind
        self._daemon = daemon
        self._destination = destination
        self._client = destination.client
        self._inventory = destination.inventory
        self._pool = destination.pool
        self._stack = stack
        self._folder = access.spool
        self._reading = access.reading
        self._helper = access.helper
        self._plain = DaemonImages(daemon, destination, replace(access, helper=None))
        self._known: dict[str, Descriptor] = {}
        self._unsent: dict[str, Scratch] = {}
        self._over = threading.Event()

    def resolve(self, entries: Sequence[FromDaemon]) -> dict[Target, Image | SandboxError]:
        """Return every image, its layers in the registry or in our own file, or the reason of its failure."""
        found: dict[Target, Image | SandboxError] = {}
        waiting = [one for entry in entries if (one := self._inspect(entry)) is not None]
        classic = {one.target for one in waiting}
        plain = [entry for entry in entries if entry.target not in classic]
        for one, tree in zip(waiting, list(self._pool.map(self._tagged, waiting)), strict=True):
            if tree is not None:
                found[one.target] = tree.image(InRegistry({}, self._unsent_layer))
        for read in self._ways():
            if waiting := [one for one in waiting if one.target not in found]:
                found |= read(waiting)
        left = {one.target for one in waiting if one.target not in found}
        plain += [entry for entry in entries if entry.target in left]
        return found | (self._plain.resolve(plain) if plain else {})

    def _ways(self) -> Iterator[Callable[[Sequence[Inspected]], Mapping[Target, Image | SandboxError]]]:
        """Yield how to get at layers, the cheapest way first; each leaves out images that need the next one."""
        if self._reading:
            yield self._read
        if self._reading and self._helper:
            yield partial(self._helped, self._helper)
        yield partial(by_halves, save=self._save)

    def _inspect(self, entry: FromDaemon) -> Inspected | None:
        """Return the description of an image in the classic store; None where DaemonImages must explain, or take it."""
        with contextlib.suppress(SandboxError):
            content = self._daemon.inspect_image(entry.image)
            if content is not None and not content.get("Descriptor"):
                return Inspected.of(entry.target, entry.image, content)
        return None

    def _tagged(self, one: Inspected) -> Tree | None:
        """Return the image behind the target's tag if it is this one, complete; else record its layers as known."""
        with contextlib.suppress(SandboxError):
            document = self._client.manifest(one.repository, one.target.tag or str(one.target.digest))
            content = manifests.parse(document) if document else None
            if document is None or not isinstance(content, Manifest):
                return None
            if any(layer.media_type != self._kind.media_type for layer in content.layers):
                return None
            diff_ids = one.diff_ids
            if content.config.digest != one.id:
                with self._client.blob(one.repository, content.config.digest) as chunks:
                    config = b"".join(digests.verified(chunks, content.config.digest, content.config.size))
                diff_ids = manifests.diff_ids(config)
            if len(diff_ids) != len(content.layers):
                return None
            self._known |= zip(diff_ids, content.layers, strict=True)
            blobs = tuple(dict.fromkeys((content.config, *content.layers)))
            if content.config.digest == one.id and all(self._there(one.repository, blob) for blob in blobs):
                return Tree((document,), blobs)
        return None

    def _there(self, repository: str, blob: Descriptor) -> bool:
        with contextlib.suppress(SandboxError):  # told when the blob is sent
            return self._inventory.size(repository, blob.digest) == blob.size
        return False

    def _homes(self, waiting: Sequence[Inspected]) -> tuple[dict[str, str], dict[str, Descriptor]]:
        """Return the repository that each layer is sent to first, and the layers that are there already."""
        homes = {digest: one.repository for one in reversed(waiting) for digest in one.diff_ids}
        return homes, {d: blob for d, blob in self._known.items() if d in homes and self._there(homes[d], blob)}

    def _read(self, waiting: Sequence[Inspected]) -> dict[Target, Image | SandboxError]:
        """Return the images that were sent from the engine's own folders; the others must be saved."""
        homes, known = self._homes(waiting)
        sizes = dict.fromkeys(known, 0)  # of layers that are not read
        opened = ((one.target, engine_store.opened(self._daemon, one.name, sizes.get)) for one in waiting)
        places = {target: image for target, image in opened if image}
        raw = {blob.digest: (blob, image.origin) for image in places.values() for blob in image.blobs}
        missing = [digest for digest in homes if digest not in known and digest in raw]
        self._destination.observer.expected(sum(raw[digest][0].size for digest in missing))
        pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="compress")
        try:
            packed = list(pool.map(lambda digest: self._packed(*raw[digest], homes[digest]), missing))
        except BaseException:
            self._over.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        made = {digest: blob for digest, blob in zip(missing, packed, strict=True) if blob}
        documents = {}
        for one in waiting:
            if image := places.get(one.target):
                config = next(blob for blob in image.blobs if blob.digest == one.id)
                with image.origin.open(config) as chunks:
                    documents[one.id] = b"".join(chunks)
        return self._images(waiting, known | made, documents)

    def _images(
        self, waiting: Sequence[Inspected], layers: Mapping[str, Descriptor], documents: Mapping[str, bytes]
    ) -> dict[Target, Image | SandboxError]:
        """Return the images all of whose parts are there; their compressed layers are known from now on."""
        self._known |= layers
        found: dict[Target, Image | SandboxError] = {}
        for one in waiting:
            if one.id in documents and all(digest in layers for digest in one.diff_ids):
                config = Descriptor(OCI_CONFIG, one.id, len(documents[one.id]))
                found[one.target] = self._image(one, config, layers, InRegistry(documents, self._unsent_layer))
        return found

    def _helped(self, helper: Helper, waiting: Sequence[Inspected]) -> dict[Target, Image | SandboxError]:
        """Return the images that a helper reads where this user may not; the others must be saved."""
        homes, known = self._homes(waiting)
        configs = {one.id: one.repository for one in waiting}
        chains = manifests.chains(one.diff_ids for one in waiting).items()
        jobs = [Job(homes[digest], digest, chain) for chain, digest in chains if digest not in known]
        jobs = list({one.digest: one for one in jobs}.values())
        jobs += [Job(repository, digest) for digest, repository in configs.items()]
        made: dict[str, Descriptor] = {}
        documents: dict[str, bytes] = {}

        def take(digest: str, chunks: Iterator[bytes]) -> None:
            if digest in configs:
                data = next(chunks, b"")
                if digests.of(data) == digest:
                    documents[digest] = data
            elif digest in homes and (blob := self._kept(digests.matching(chunks, digest), homes[digest])):
                made[digest] = blob

        try:
            content = self._daemon.inspect_image(waiting[0].name) or {}
            if engine_store.is_readable(engine_store.overlay_root(content)):
                return {}
            helper.read(jobs, engine_store.overlay_folders(content), self._folder, take)
        except SandboxError as error:
            log.info("no helper reads the engine's folders: %s", error)
        except BaseException:
            self._over.set()
            raise
        return self._images(waiting, known | made, documents)

    def _packed(self, raw: Descriptor, origin: Origin, home: str) -> Descriptor | None:
        """Read a layer, compress and send it."""
        try:
            with origin.open(raw) as chunks:
                return self._kept(digests.verified(chunks, raw.digest, raw.size), home)
        except SandboxError as error:
            log.info("a layer is not read directly after all: %s", error)
            return None

    def _kept(self, chunks: Iterator[bytes], home: str) -> Descriptor | None:
        """Compress a layer and send it; its copy on disk stays only where that fails, for another try."""
        scratch = Scratch(self._folder)
        try:
            blob = scratch.pack(self._until_over(chunks), self._kind)
        except SandboxError as error:
            log.info("a layer is not read directly after all: %s", error)
            scratch.close()
            return None
        except BaseException:
            scratch.close()
            raise
        scratch.keep(blob)
        if carry(Transfer(blob, (home,), (InRegistry({}, scratch.read),), ()), self._destination):
            self._unsent[blob.digest] = self._stack.enter_context(contextlib.closing(scratch))
        else:
            scratch.close()
        return blob

    def _until_over(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._over.is_set():
                raise interruption.Interrupted
            yield chunk

    def _unsent_layer(self, blob: Descriptor) -> Iterator[bytes] | None:
        scratch = self._unsent.get(blob.digest)
        return scratch.read(blob) if scratch else None

    def _save(self, waiting: Sequence[Inspected]) -> dict[Target, Image | SandboxError]:
        """Return the images that a save gives; those that turn out to be of a containerd store are left out."""
        scratch = self._stack.enter_context(contextlib.closing(Scratch(self._folder)))
        homes, known = self._homes(waiting)
        early: list[Future[dict[str, SandboxError]]] = []

        def ready(digest: str, blob: Descriptor) -> None:
            transfer = Transfer(blob, (homes[digest],), (InRegistry({}, scratch.read),), ())
            early.append(self._pool.submit(carry, transfer, self._destination))

        spool = CompressSpool(homes.keys() - known.keys(), scratch, self._kind, ready)
        documents = take_saved(self._daemon, waiting, spool, lambda document, _: _is_config(document))
        for future in early:  # the plan sends again what could not be sent while others were compressed
            future.result()
        found: dict[Target, Image | SandboxError] = {}
        for one in waiting:
            image = self._made(one, documents, known | spool.made, spool, scratch)
            if image is not None:
                found[one.target] = image
        return found

    def _made(
        self,
        one: Inspected,
        documents: Documents,
        layers: Mapping[str, Descriptor],
        spool: CompressSpool,
        scratch: Scratch,
    ) -> Image | SandboxError | None:
        config = documents.by_digest.get(one.id)
        if config is None or not _is_config(config):
            return None
        missing = [digest for digest in one.diff_ids if digest not in layers]
        if missing:
            return spool.failures.get(missing[0]) or one.incomplete(missing[0])
        described = Descriptor(OCI_CONFIG, one.id, len(config))
        return self._image(one, described, layers, InRegistry(documents.by_digest, scratch.read))

    def _image(self, one: Inspected, config: Descriptor, layers: Mapping[str, Descriptor], origin: Origin) -> Image:
        return Tree.of(config, [layers[digest] for digest in one.diff_ids]).image(origin)


def _is_config(document: bytes) -> bool:
    """Tell whether a document is a configuration; the containerd store names a manifest instead."""
    return b'"rootfs"' in document
