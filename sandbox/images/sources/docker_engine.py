"""Images of the local Docker Engine: only layers that the registry lacks are read, from the engine's own folders.

Where those cannot be read, or do not give what they should, the layers come out of one `save` of all these images.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.sources import engine_store as stores
from sandbox.images.sources.docker_save import Documents, by_halves, take_saved
from sandbox.images.sources.helped_push import HelpedPush
from sandbox.images.sources.image_source import Daemon, EngineAccess, Helper, Inspected
from sandbox.images.sources.layout import goes_by, listed
from sandbox.images.stream_upload import StreamUpload
from sandbox.images.transfer import Destination, carry, plan_transfers
from sandbox.oci import manifest as manifests
from sandbox.oci.image import Image, MissingBlob, Tree, walk
from sandbox.oci.manifest import OCI_CONFIG, OCI_LAYER, Descriptor, Document, Manifest
from sandbox.oci.oci_errors import BadImage, RegistryError
from sandbox.oci.reference import Target

SAVES = 3
# From so many bytes on, bypassing the registry's frontend saves more time than finding out how to.

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InRegistry:
    """The Origin of an image whose layers the registry has, or `spooled` gives; its documents are in memory."""

    documents: Mapping[str, bytes] = field(default_factory=dict)
    spooled: Callable[[Descriptor], Iterator[bytes] | None] = lambda _: None

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        """Yield the bytes of a document or a spooled layer."""
        data = self.documents.get(blob.digest)
        chunks = self.spooled(blob) if data is None else iter([data])
        if chunks is None:
            raise MissingBlob(f"{blob.digest} is gone from the registry", fix="push again")
        yield chunks


class DaemonImages:
    """All images of a run that are in the engine, together, because they share layers and a save.

    They are read from the engine's own folders where the `access` permits, else by its helper if there is one.
    """

    def __init__(self, daemon: Daemon, destination: Destination, access: EngineAccess) -> None:
        self._daemon = daemon
        self._destination = destination
        self._client = destination.client
        self._inventory = destination.inventory
        self._pool = destination.pool
        self._reading = access.reading
        self._helper = access.helper
        self._seen: dict[str, str] = {}

    def resolve(self, entries: Sequence[FromDaemon]) -> dict[Target, Image | SandboxError]:
        """Return every image, its layers in the registry, or the reason of its failure."""
        found: dict[Target, Image | SandboxError] = {}
        looked: list[tuple[Inspected, Tree | None]] = []
        for entry, look in zip(entries, self._pool.map(self._look, entries), strict=True):
            if isinstance(look, SandboxError):
                found[entry.target] = look
            else:
                looked.append(look)
        asked = {blob.digest: one.target for one, tree in looked if tree for blob in tree.blobs}
        list(self._pool.map(self._ask, asked.items()))
        waiting: list[Inspected] = []
        for (one, _), image in zip(looked, self._pool.map(self._held, looked), strict=True):
            if image is None:
                waiting.append(one)
            else:
                found[one.target] = image
        if waiting and self._reading:
            found |= self._read(waiting)
            waiting = [one for one in waiting if one.target not in found]
        if waiting and self._reading and self._helper:
            found |= self._helped(self._helper, waiting)
            waiting = [one for one in waiting if one.target not in found]
        if waiting:
            log.debug("saving %s", ", ".join(str(one.target) for one in waiting))
            found |= by_halves(waiting, self._save)
        return found

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

    def _held(self, look: tuple[Inspected, Tree | None]) -> Image | SandboxError | None:
        """Return the image if the registry has every piece of it, so that nothing need be saved."""
        one, tagged = look
        try:
            if tagged and all(self._inventory.size(one.repository, b.digest) is not None for b in tagged.blobs):
                return tagged.image(InRegistry())
            tree = self._classic(one, {})
        except SandboxError as error:
            return error
        return tree.image(InRegistry()) if tree else None

    def _ask(self, item: tuple[str, Target]) -> None:
        """Look up a blob once, before several images want to know about it at the same time."""
        with contextlib.suppress(SandboxError):  # raised again for each image
            self._inventory.size(item[1].repository, item[0])

    def _tagged(self, one: Inspected) -> Tree | None:
        """Return the image behind the target's tag, or its digest, if it is this one; that vouches for its blobs."""
        repository, tag = one.repository, one.target.tag or str(one.target.digest)
        for name in (tag, one.id) if one.is_document else (tag,):
            try:
                document = self._client.manifest(repository, name)
                self._inventory.note(repository, name, document.digest if document else None)
                if document and (tree := self._recognised(one, document, name)):
                    return tree
            except SandboxError:
                continue  # what cannot be read is not this image; a push of it reports other problems
        return None

    def _recognised(self, one: Inspected, document: Document, name: str) -> Tree | None:
        content = manifests.parse(document)
        ours = isinstance(content, Manifest) and content.config.digest == one.id
        if ours and isinstance(content, Manifest):
            ours = tuple(layer.digest for layer in content.layers) == one.diff_ids
        if not ours and document.digest != one.id:
            if isinstance(content, Manifest):
                self._seen |= {blob.digest: one.repository for blob in (content.config, *content.layers)}
            return None
        tree = walk(document, lambda child: self._client.manifest(one.repository, child.digest))
        self._inventory.vouch(one.repository, name, document, tree.blobs)
        return tree

    def _classic(self, one: Inspected, documents: Mapping[str, bytes]) -> Tree | None:
        """Describe the image with raw layers and our own manifest, if `id` names a configuration and all is there.

        A raw layer's digest is its diff id, so the engine's description and the registry's sizes suffice.
        """
        repository = one.repository
        for digest in one.diff_ids:
            self._inventory.size(repository, digest)
        if one.id in documents:
            config = len(documents[one.id]) if _describes(documents[one.id], one) else None
        else:
            config = self._inventory.size(repository, one.id)
        places = [self._inventory.anywhere(digest) for digest in one.diff_ids]
        if config is None or not all(places):
            return None
        described = Descriptor(OCI_CONFIG, one.id, config)
        sizes = [place[1] for place in places if place]
        layers = [Descriptor(OCI_LAYER, name, size) for name, size in zip(one.diff_ids, sizes, strict=True)]
        return Tree.of(described, layers)

    def _read(self, waiting: Sequence[Inspected]) -> dict[Target, Image | SandboxError]:
        """Return the images that were sent from the engine's own folders; the others must be saved."""
        # One after another: they share layers, each of which is to be measured once.
        opened = ((one, stores.opened(self._daemon, one.name, partial(self._size, one.repository))) for one in waiting)
        images = {one.target: image for one, image in opened if image}
        missing = [one for one in plan_transfers(images).transfers if not self._inventory.anywhere(one.blob.digest)]
        size = sum(one.blob.size for one in missing)
        self._destination.observer.expected(size)
        lost: dict[Target, SandboxError] = {}
        sending = [self._pool.submit(carry, one, self._destination) for one in missing]
        for transfer, future in zip(missing, sending, strict=True):
            failures = future.result()
            lost |= {one: failures[one.repository] for one in transfer.targets if one.repository in failures}
        found: dict[Target, Image | SandboxError] = dict(images)
        for target, error in lost.items():
            if isinstance(error, RegistryError):
                found[target] = error
            else:
                log.info("%s is not read directly after all: %s", target, error)
                del found[target]
        return found

    def _size(self, repository: str, digest: str) -> int | None:
        """Return the size of a layer that the registry has."""
        with contextlib.suppress(RegistryError):  # reported when something is sent
            self._inventory.size(repository, digest)
        place = self._inventory.anywhere(digest)
        return place[1] if place else None

    def _helped(self, helper: Helper, waiting: Sequence[Inspected]) -> dict[Target, Image | SandboxError]:
        """Return the images that a helper has sent from the engine's folders; the others must be saved."""
        helped = HelpedPush(helper, self._daemon, self._destination)
        try:
            trees = helped.send(waiting)
        except SandboxError as error:
            log.info("no helper reads the engine's folders: %s", error)
            trees = {}
        found: dict[Target, Image | SandboxError] = {}
        for one in waiting:
            with contextlib.suppress(SandboxError):  # reported after the save
                if tree := trees.get(one.target) or self._classic(one, {}):
                    found[one.target] = tree.image(InRegistry())
        return found

    def _save(self, waiting: Sequence[Inspected], tries: int = SAVES) -> dict[Target, Image | SandboxError]:
        """Save what is missing, and again what may succeed then, since a stream cannot be rewound."""
        upload = self._upload(waiting)
        try:
            documents = take_saved(self._daemon, waiting, upload, _describes)
        finally:
            upload.finish()
        found = {one.target: self._made(one, documents, upload) for one in waiting}
        again = [one for one in waiting if upload.failures and _may_pass(found[one.target], one, upload)]
        return found | (by_halves(again, partial(self._save, tries=tries - 1)) if again and tries > 1 else {})

    def _upload(self, waiting: Sequence[Inspected]) -> StreamUpload:
        wanted: dict[str, dict[str, None]] = {}
        for one in waiting:
            for digest in one.diff_ids:
                wanted.setdefault(digest, {})[one.repository] = None
        repositories = {digest: tuple(names) for digest, names in wanted.items()}
        homes = tuple(dict.fromkeys(one.repository for one in waiting))
        return StreamUpload(self._destination, repositories, homes, self._seen)

    def _made(self, one: Inspected, documents: Documents, upload: StreamUpload) -> Image | SandboxError:
        try:
            tree = self._classic(one, documents.by_digest) or self._from_index(one, documents)
            named = [blob.digest for blob in tree.blobs if blob.digest not in documents.by_digest]
            lacking = [digest for digest in named if not upload.has(digest)]
        except SandboxError as error:
            return _why(one, error, (one.id, *one.diff_ids), upload)
        if lacking:
            return _why(one, one.incomplete(lacking[0]), lacking, upload)
        return tree.image(InRegistry(documents.by_digest))

    def _from_index(self, one: Inspected, documents: Documents) -> Tree:
        """Describe an image of the containerd store, with its manifests and layers, compressed or not, unchanged."""

        def read(child: Descriptor) -> Document | None:
            data = documents.by_digest.get(child.digest)
            return None if data is None else manifests.document(data, child.media_type)

        roots = listed(documents.index) if documents.index else ()
        fitting = [root for root in roots if root.digest == one.id] or [
            root for root in roots if goes_by(root, one.name)
        ]
        if one.id in documents.by_digest and not fitting:
            lost = (digest for digest in one.diff_ids if not self._inventory.anywhere(digest))
            raise one.incomplete(next(lost, one.id))
        document = read(fitting[0]) if fitting else None
        if document is None:
            raise one.incomplete(fitting[0].digest if fitting else one.id)
        return walk(document, read, name=one.name)


def _may_pass(outcome: Image | SandboxError, one: Inspected, upload: StreamUpload) -> bool:
    """Tell whether another save may help: the connection broke, or a layer met a refusal that concerns others."""
    if not isinstance(outcome, SandboxError) or one.repository in upload.refused:
        return False
    if not isinstance(outcome, RegistryError) or outcome.transient:
        return True
    return any(upload.stuck.get(digest, one.repository) != one.repository for digest in one.diff_ids)


def _why(one: Inspected, error: SandboxError, digests: Iterable[str], upload: StreamUpload) -> SandboxError:
    """Return the error; a failed upload explains a missing layer better than its absence does."""
    for digest in (*digests, None):
        if digest in upload.failures:
            return upload.failures[digest]
    return upload.refused.get(one.repository, error)


def _describes(document: bytes, one: Inspected) -> bool:
    """Tell whether a document is this image's configuration; the containerd store names a manifest instead."""
    try:
        return manifests.diff_ids(document) == one.diff_ids
    except SandboxError:
        return False
