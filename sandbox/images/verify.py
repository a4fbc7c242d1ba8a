"""Reads images back out of a registry, every byte of them, because only that proves that they are complete."""

from collections.abc import Collection, Mapping

from sandbox.errors import SandboxError
from sandbox.images.progress import Ending, Observer
from sandbox.images.push import workers
from sandbox.oci import digest as digests
from sandbox.oci.client import Client, InRegistry
from sandbox.oci.image import Image, MissingBlob, walk
from sandbox.oci.manifest import Descriptor, Document
from sandbox.oci.reference import Target


class VerifyFailed(SandboxError):
    """The registry lacks some of what was pushed; `damaged` are the digests of missing or changed blobs."""

    id = "verify-failed"

    def __init__(self, faults: Mapping[Target, Collection[str]], damaged: frozenset[str]) -> None:
        count = f"{len(faults)} images are" if len(faults) > 1 else "1 image is"
        super().__init__(
            f"{count} damaged in the registry",
            details="\n".join(f"{target}: {line}" for target, lines in faults.items() for line in lines),
            fix="restart the registry, which may remember blobs it has lost, then push again",
        )
        self.damaged = damaged


def verify(wanted: Mapping[Target, str], client: Client, observer: Observer) -> int:
    """Check that each target names its digest and that everything below it is there and undamaged.

    Each blob is read once; in other repositories its size is looked up. Returns the number of bytes read. Raises
    VerifyFailed with all faults.
    """
    ending = Ending(observer)
    faults: dict[Target, list[str]] = {target: [] for target in wanted}
    uses: dict[Descriptor, dict[str, list[Target]]] = {}
    damaged = set[str]()
    with workers(ending) as pool:
        for target, image in zip(wanted, pool.map(lambda item: _image(client, *item), wanted.items()), strict=True):
            if isinstance(image, SandboxError):
                faults[target].append(_one_line(image))
                continue
            for blob in image.blobs:
                uses.setdefault(blob, {}).setdefault(target.repository, []).append(target)
        blobs = sorted(uses, key=lambda blob: -blob.size)
        size = sum(blob.size for blob in blobs)
        observer.planned(len(wanted), len(blobs), size)
        results = pool.map(lambda blob: _blob_faults(client, blob, uses[blob], ending), blobs)
        for blob, by_repository in zip(blobs, results, strict=True):
            for repository, fault in by_repository.items():
                damaged.add(blob.digest)
                for target in uses[blob][repository]:
                    faults[target].append(fault)
    if harmed := {target: lines for target, lines in faults.items() if lines}:
        raise VerifyFailed(harmed, frozenset(damaged))
    return size


def _image(client: Client, target: Target, digest: str) -> Image | SandboxError:
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
        return walk(root, child, InRegistry(client, target.repository))
    except SandboxError as error:
        return error


def _blob_faults(client: Client, blob: Descriptor, repositories: Collection[str], ending: Ending) -> dict[str, str]:
    faults: dict[str, str] = {}
    first, *others = repositories
    try:
        with client.blob(first, blob.digest) as chunks:
            for chunk in digests.verified(chunks, blob.digest, blob.size):
                ending.sent(len(chunk))
    except SandboxError as error:
        faults[first] = f"{blob.digest} ({blob.media_type}): {_one_line(error)}"
    for repository in others:
        try:
            size = client.blob_size(repository, blob.digest)
        except SandboxError as error:
            faults[repository] = f"{blob.digest}: {_one_line(error)}"
            continue
        if size != blob.size:
            what = "is not there" if size is None else f"has {size} bytes instead of {blob.size}"
            faults[repository] = f"{blob.digest} ({blob.media_type}) {what}"
    return faults


def _one_line(error: SandboxError) -> str:
    return ", ".join(str(error).splitlines())
