"""Images of an engine whose folders only root may read, sent by a helper; the registry is asked what has arrived."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sandbox.engine import EngineError
from sandbox.errors import SandboxError
from sandbox.images.sources import engine_store as stores
from sandbox.images.sources.image_source import Daemon, Helper, Inspected, Job, Sent
from sandbox.images.sources.tar_split import Unreadable
from sandbox.images.transfer import Destination
from sandbox.oci import address as addresses
from sandbox.oci import manifest as manifests
from sandbox.oci.image import Tree, walk
from sandbox.oci.manifest import Descriptor, Document
from sandbox.oci.reference import Target

log = logging.getLogger(__name__)


class HelpedPush:
    """Has `helper` send images of `daemon` to a registry on this machine."""

    def __init__(self, helper: Helper, daemon: Daemon, destination: Destination) -> None:
        self._helper = helper
        self._daemon = daemon
        self._inventory = destination.inventory
        self._sent = destination.observer.sent
        self._registry = addresses.parse(destination.client.url)

    def send(self, waiting: Sequence[Inspected]) -> dict[Target, Tree]:
        """Send what the registry lacks of these images, as far as possible.

        Returns those of a containerd store whose blobs are all there; for others see the inventory. Raises SandboxError
        where no helper can begin.
        """
        if not self._registry.is_loopback:
            raise Unreadable("the registry is not on this machine")
        if classic := [one for one in waiting if not one.is_document]:
            self._send_layers(classic)
        return self._send_trees([one for one in waiting if one.is_document])

    def _send_layers(self, waiting: Sequence[Inspected]) -> None:
        content = self._daemon.inspect_image(waiting[0].name) or {}
        if stores.is_readable(stores.overlay_root(content)):
            raise Unreadable("it needs none: this user may read them")
        jobs = list({job.digest: job for one in waiting for job in self._jobs(one)}.values())
        self._helper.send(jobs, stores.overlay_folders(content), self._registry.port, self._sent)
        for job in jobs:
            self._inventory.confirm(job.repository, job.digest)

    def _jobs(self, one: Inspected) -> Iterator[Job]:
        """Yield the blobs of an image that no repository is known to have."""
        repository = one.repository
        for chain, digest in manifests.chains([one.diff_ids]).items():
            if not self._inventory.has(repository, digest):
                yield Job(repository, digest, chain)
        if self._inventory.size(repository, one.id) is None:
            yield Job(repository, one.id)

    def _send_trees(self, waiting: Sequence[Inspected]) -> dict[Target, Tree]:
        documents: dict[str, bytes] = {}
        folders = stores.content_folders(self._daemon.root()) if waiting else ()
        if any(os.access(folder, os.R_OK | os.X_OK) for folder in folders):
            raise Unreadable("it needs none: this user may read them")
        for folder in folders:
            jobs = [Job(one.repository, one.id, tree=True) for one in waiting if one.id not in documents]
            if not jobs:
                break
            sent = self._tried(jobs, folder)
            documents |= sent.documents
            for repository, digest in sent.blobs:
                self._inventory.confirm(repository, digest)
        return {one.target: tree for one in waiting if (tree := self._whole(one, documents))}

    def _tried(self, jobs: Sequence[Job], folder: Path) -> Sent:
        try:
            return self._helper.send(jobs, {"/blobs": folder}, self._registry.port, self._sent)
        except EngineError as error:  # there is no such folder
            log.debug("%s is not read: %s", folder, error)
            return Sent()

    def _whole(self, one: Inspected, documents: Mapping[str, bytes]) -> Tree | None:
        """Return the image, if the registry has every blob of it."""

        def read(child: Descriptor) -> Document | None:
            data = documents.get(child.digest)
            return None if data is None else manifests.document(data, child.media_type)

        content = self._daemon.inspect_image(one.name) or {}
        with contextlib.suppress(SandboxError):  # a save reports more
            root = read(stores.descriptor(content))
            tree = walk(root, read, name=one.name) if root else None
            if tree and all(self._inventory.has(one.repository, blob.digest) for blob in tree.blobs):
                return tree
        return None
