"""Reads images back out of a registry, every byte of them, because only that proves that they are there."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from sandbox.errors import SandboxError
from sandbox.images.progress import Ending, Observer
from sandbox.images.push import LIMIT, workers
from sandbox.oci import digest as digests
from sandbox.oci.client import Client
from sandbox.oci.image import MissingBlob, Tree, walk
from sandbox.oci.manifest import Descriptor, Document
from sandbox.oci.reference import Target


class VerifyFailed(SandboxError):
    """The registry does not hold what was pushed; `faults` says what is wrong with which image.

    `damaged` are the digests of blobs that are not what they should be, or not there.
    """

    id = "verify-failed"

    def __init__(self, faults: Mapping[Target, tuple[str, ...]], damaged: frozenset[str]) -> None:
        lines = [f"{target}: {fault}" for target, found in faults.items() for fault in found]
        count = f"{len(faults)} images are" if len(faults) > 1 else "1 image is"
        super().__init__(
            f"{count} damaged in the registry",
            details="\n".join(lines),
            fix="restart the registry, which may remember blobs it has lost, then push again",
        )
        self.faults = faults
        self.damaged = damaged


def verify(wanted: Mapping[Target, str], client: Client, observer: Observer) -> int:
    """Check that each target names its digest and that everything below it is there and undamaged.

    The bytes of each blob are read and hashed once; where it is linked into another repository too, its size is looked
    up there. Returns the number of bytes read; `observer.sent` is called as they come. Raises VerifyFailed with all
    faults.
    """
    ending = Ending(observer)
    with workers(LIMIT, ending) as pool:
        return _Reading(client, pool, ending)(wanted)


class _Reading:
    def __init__(self, client: Client, pool: ThreadPoolExecutor, ending: Ending) -> None:
        self._client = client
        self._pool = pool
        self._ending = ending

    def __call__(self, wanted: Mapping[Target, str]) -> int:
        faults: dict[Target, list[str]] = {target: [] for target in wanted}
        needs: dict[Descriptor, dict[str, list[Target]]] = {}
        for target, tree in zip(wanted, self._pool.map(self._tree, wanted.items()), strict=True):
            if isinstance(tree, str):
                faults[target].append(tree)
                continue
            for blob in tree.blobs:
                needs.setdefault(blob, {}).setdefault(target.repository, []).append(target)
        largest = sorted(needs, key=lambda blob: -blob.size)
        self._ending.observer.planned(len(wanted), len(largest), sum(blob.size for blob in largest))
        damaged = set[str]()
        for blob, found in zip(largest, self._pool.map(lambda one: self._blob(one, needs[one]), largest), strict=True):
            damaged |= {blob.digest} if found else set()
            for repository, fault in found.items():
                for target in needs[blob][repository]:
                    faults[target].append(fault)
        if wrong := {target: tuple(found) for target, found in faults.items() if found}:
            raise VerifyFailed(wrong, frozenset(damaged))
        return sum(blob.size for blob in largest)

    def _tree(self, item: tuple[Target, str]) -> Tree | str:
        target, digest = item
        try:
            root = self._client.manifest(target.repository, target.tag or digest)
            if root is None:
                return "the registry has no such tag" if target.tag else "the registry does not have it"
            if root.digest != digest:
                return f"its tag names {root.digest} instead of {digest}"
            return walk(root, lambda child: self._child(target.repository, child))
        except SandboxError as error:
            return _words(error)

    def _child(self, repository: str, child: Descriptor) -> Document:
        document = self._client.manifest(repository, child.digest)
        if document is None:
            raise MissingBlob(f"{child.digest} ({child.platform or child.media_type}) is not there")
        return document

    def _blob(self, blob: Descriptor, repositories: Mapping[str, object]) -> dict[str, str]:
        """Return what is wrong with a blob, by repository: its bytes in the first, its presence in the others."""
        wrong: dict[str, str] = {}
        first, *others = repositories
        try:
            with self._client.blob(first, blob.digest) as chunks:
                for chunk in digests.verified(chunks, blob.digest, blob.size):
                    self._ending.sent(len(chunk))
        except SandboxError as error:
            wrong[first] = f"{blob.digest} ({blob.media_type}): {_words(error)}"
        for repository in others:
            try:
                size = self._client.blob_size(repository, blob.digest)
                if size is None:
                    wrong[repository] = f"{blob.digest} ({blob.media_type}) is not there"
                elif size != blob.size:
                    wrong[repository] = f"{blob.digest} has {size} bytes instead of {blob.size}"
            except SandboxError as error:
                wrong[repository] = f"{blob.digest}: {_words(error)}"
        return wrong


def _words(error: SandboxError) -> str:
    return ", ".join(str(error).splitlines())
