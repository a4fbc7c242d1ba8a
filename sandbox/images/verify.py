"""Reads images back out of a registry, every byte of them, because only that proves that they are there."""

from __future__ import annotations

from collections.abc import Collection, Mapping

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

    def __init__(self, faults: Mapping[Target, Collection[str]], damaged: frozenset[str]) -> None:
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
    faults: dict[Target, list[str]] = {target: [] for target in wanted}
    needs: dict[Descriptor, dict[str, list[Target]]] = {}
    damaged = set[str]()
    with workers(LIMIT, ending) as pool:
        for target, tree in zip(wanted, pool.map(lambda item: _tree(client, *item), wanted.items()), strict=True):
            if isinstance(tree, SandboxError):
                faults[target].append(_words(tree))
                continue
            for blob in tree.blobs:
                needs.setdefault(blob, {}).setdefault(target.repository, []).append(target)
        largest = sorted(needs, key=lambda blob: -blob.size)
        size = sum(blob.size for blob in largest)
        observer.planned(len(wanted), len(largest), size)
        found = pool.map(lambda blob: _blob_faults(client, blob, needs[blob], ending), largest)
        for blob, wrong in zip(largest, found, strict=True):
            for repository, fault in wrong.items():
                damaged.add(blob.digest)
                for target in needs[blob][repository]:
                    faults[target].append(fault)
    if harmed := {target: found for target, found in faults.items() if found}:
        raise VerifyFailed(harmed, frozenset(damaged))
    return size


def _tree(client: Client, target: Target, digest: str) -> Tree | SandboxError:
    def child(descriptor: Descriptor) -> Document:
        document = client.manifest(target.repository, descriptor.digest)
        if document is None:
            raise MissingBlob(f"{descriptor.digest} ({descriptor.platform or descriptor.media_type}) is not there")
        return document

    try:
        root = client.manifest(target.repository, target.tag or digest)
        if root is None:
            return MissingBlob("the registry has no such tag" if target.tag else "the registry does not have it")
        if root.digest != digest:
            return MissingBlob(f"its tag names {root.digest} instead of {digest}")
        return walk(root, child)
    except SandboxError as error:
        return error


def _blob_faults(client: Client, blob: Descriptor, repositories: Collection[str], ending: Ending) -> dict[str, str]:
    """Return what is wrong with a blob, by repository: its bytes in the first, its presence in the others."""
    wrong: dict[str, str] = {}
    first, *others = repositories
    try:
        with client.blob(first, blob.digest) as chunks:
            for chunk in digests.verified(chunks, blob.digest, blob.size):
                ending.sent(len(chunk))
    except SandboxError as error:
        wrong[first] = f"{blob.digest} ({blob.media_type}): {_words(error)}"
    for repository in others:
        try:
            size = client.blob_size(repository, blob.digest)
        except SandboxError as error:
            wrong[repository] = f"{blob.digest}: {_words(error)}"
            continue
        if size is None:
            wrong[repository] = f"{blob.digest} ({blob.media_type}) is not there"
        elif size != blob.size:
            wrong[repository] = f"{blob.digest} has {size} bytes instead of {blob.size}"
    return wrong


def _words(error: SandboxError) -> str:
    return ", ".join(str(error).splitlines())
