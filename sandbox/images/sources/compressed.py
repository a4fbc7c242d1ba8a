"""Images of the Docker Engine with their raw layers compressed, for registries that are reached over a network."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.push_context import Destination
from sandbox.images.push_plan import Transfer
from sandbox.images.sources import v1layers
from sandbox.images.sources.compress_spool import Scratch, Spool, Spooled
from sandbox.images.sources.docker_engine import DaemonImages
from sandbox.images.sources.docker_save import Documents, take
from sandbox.images.sources.image_source import Daemon
from sandbox.images.target import Target
from sandbox.images.transfer import carry
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.compression import Compression
from sandbox.oci.image import Image, MissingBlob, Tree
from sandbox.oci.manifest import OCI_CONFIG, Descriptor, Document, Manifest


@dataclass(frozen=True)
class _Wanted:
    """An image of an engine with the classic store: `id` is its configuration's digest."""

    entry: FromDaemon
    id: str
    diff_ids: tuple[str, ...]

    @property
    def repository(self) -> str:
        return self.entry.target.repository


class CompressedImages:
    """All images of a run that are in the engine, as DaemonImages gives them but for their layers.

    What a tag names already tells which compressed layers belong to which raw ones, so what has not changed is neither
    saved nor compressed again. An engine with the containerd store gives layers as they were made; they stay so.
    """

    def __init__(
        self,
        kind: Compression,
        daemon: Daemon,
        destination: Destination,
        stack: contextlib.ExitStack,
        spool: Path | None = None,
    ) -> None:
        self._kind = kind
        self._daemon = daemon
        self._destination = destination
        self._client = destination.client
        self._holdings = destination.holdings
        self._pool = destination.pool
        self._stack = stack
        self._folder = spool
        self._plain = DaemonImages(daemon, destination)
        self._known: dict[str, Descriptor] = {}

    def resolve(self, entries: Sequence[FromDaemon]) -> dict[Target, Image | SandboxError]:
        """Return every image, its layers in the registry or in our own file, or the reason why not."""
        found: dict[Target, Image | SandboxError] = {}
        waiting = [one for entry in entries if (one := self._inspect(entry)) is not None]
        classic = {one.entry.target for one in waiting}
        plain = [entry for entry in entries if entry.target not in classic]
        for one, tree in zip(waiting, list(self._pool.map(self._tagged, waiting)), strict=True):
            if tree is not None:
                found[one.entry.target] = tree.image(Spooled(None, {}))
        if waiting := [one for one in waiting if one.entry.target not in found]:
            try:
                saved = self._saved(waiting)
            except SandboxError as error:
                saved = dict.fromkeys((one.entry.target for one in waiting), error)
            plain += [one.entry for one in waiting if one.entry.target not in saved]
            found |= saved
        return found | (self._plain.resolve(plain) if plain else {})

    def _inspect(self, entry: FromDaemon) -> _Wanted | None:
        """None for what DaemonImages must explain, or must take as it is."""
        with contextlib.suppress(SandboxError):
            content = self._daemon.inspect_image(entry.image)
            if content is not None and not content.get("Descriptor"):
                layers = (content.get("RootFS") or {}).get("Layers") or ()
                return _Wanted(entry, str(content["Id"]), tuple(layers))
        return None

    def _tagged(self, one: _Wanted) -> Tree | None:
        """Return the image behind the target's tag when it is this one, whole; else its layers are noted as known."""
        with contextlib.suppress(SandboxError):
            document = self._client.manifest(one.repository, one.entry.target.tag or str(one.entry.target.digest))
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
            return self._holdings.size(repository, blob.digest) == blob.size
        return False

    def _saved(self, waiting: Sequence[_Wanted]) -> dict[Target, Image | SandboxError]:
        """Return what one save gives; images are absent that turned out to be of a containerd store."""
        scratch = self._stack.enter_context(contextlib.closing(Scratch(self._folder)))
        homes = {digest: one.repository for one in reversed(waiting) for digest in one.diff_ids}
        known = {d: blob for d, blob in self._known.items() if d in homes and self._there(homes[d], blob)}
        early: list[Future[dict[str, SandboxError]]] = []

        def ready(digest: str, blob: Descriptor) -> None:
            transfer = Transfer(blob, (homes[digest],), (Spooled(scratch, {}),), ())
            early.append(self._pool.submit(carry, transfer, self._destination))

        spool = Spool(homes.keys() - known.keys(), scratch, self._kind, ready)
        documents = self._taken(waiting, spool)
        for future in early:  # what could not be sent while others were compressed, the plan sends again
            future.result()
        found: dict[Target, Image | SandboxError] = {}
        for one in waiting:
            image = self._made(one, documents, known | spool.made, spool, scratch)
            if image is not None:
                found[one.entry.target] = image
        return found

    def _taken(self, waiting: Sequence[_Wanted], spool: Spool) -> Documents:
        """Return one save of all these images, no longer than it takes to have what is missing."""

        def enough(documents: Documents) -> bool:
            return not spool.wants_unknown() and all(_is_config(documents.by_digest.get(one.id)) for one in waiting)

        stream = self._daemon.save(list(dict.fromkeys(one.entry.image for one in waiting)))
        try:
            return take(stream, spool, v1layers.chains(one.diff_ids for one in waiting), enough)
        finally:
            if isinstance(stream, Generator):
                stream.close()

    def _made(
        self, one: _Wanted, documents: Documents, layers: Mapping[str, Descriptor], spool: Spool, scratch: Scratch
    ) -> Image | SandboxError | None:
        config = documents.by_digest.get(one.id)
        if config is None or not _is_config(config):
            return None
        missing = [digest for digest in one.diff_ids if digest not in layers]
        if missing:
            return spool.failures.get(missing[0]) or MissingBlob(
                f"the Docker Engine's save of {one.entry.image} is not complete",
                details=f"missing: {missing[0]}",
                fix=f"docker image rm {one.entry.image}, then pull or build it again; or push it `from: registry`",
            )
        described = Descriptor(OCI_CONFIG, one.id, len(config))
        blobs = [layers[digest] for digest in one.diff_ids]
        document: Document = manifests.image_manifest(described, blobs)
        return Tree((document,), tuple(dict.fromkeys((described, *blobs)))).image(Spooled(scratch, documents.by_digest))


def _is_config(document: bytes | None) -> bool:
    """Tell whether a document is the configuration of an image, and not a manifest that the containerd store names."""
    return document is not None and b'"rootfs"' in document
