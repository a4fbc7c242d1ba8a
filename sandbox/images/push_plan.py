"""One plan for all images of a run: every blob once, every document after what it names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.images.target import Target
from sandbox.oci.image import Image, Origin
from sandbox.oci.manifest import Descriptor


@dataclass(frozen=True)
class Transfer:
    """One blob, and all it takes to have it wherever it is needed.

    It is sent to `repositories[0]` at most once, from the first of `origins` that can give it, and mounted into the
    other repositories from there.
    """

    blob: Descriptor
    repositories: tuple[str, ...]
    origins: tuple[Origin, ...]
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Plan:
    """All transfers, the largest first, so that no large one is left to run alone at the end."""

    transfers: tuple[Transfer, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all different blobs together."""
        return sum(transfer.blob.size for transfer in self.transfers)

    def needs(self, target: Target) -> frozenset[str]:
        """Return the digests of the blobs that must be in place before the documents of `target`."""
        return frozenset(transfer.blob.digest for transfer in self.transfers if target in transfer.targets)

    def charges(self, target: Target) -> tuple[Descriptor, ...]:
        """Return the blobs whose cost counts for `target`: those it is the first to need."""
        return tuple(transfer.blob for transfer in self.transfers if target == transfer.targets[0])


def make(images: Mapping[Target, Image]) -> Plan:
    """Return the plan that puts every image of `images` where its target says."""
    blobs: dict[str, Descriptor] = {}
    repositories: dict[str, dict[str, None]] = {}
    origins: dict[str, dict[int, Origin]] = {}
    targets: dict[str, dict[Target, None]] = {}
    for target, image in images.items():
        for blob in image.blobs:
            blobs.setdefault(blob.digest, blob)
            repositories.setdefault(blob.digest, {})[target.repository] = None
            origins.setdefault(blob.digest, {})[id(image.origin)] = image.origin
            targets.setdefault(blob.digest, {})[target] = None
    transfers = (
        Transfer(blob, tuple(repositories[digest]), tuple(origins[digest].values()), tuple(targets[digest]))
        for digest, blob in blobs.items()
    )
    return Plan(tuple(sorted(transfers, key=lambda transfer: (-transfer.blob.size, transfer.blob.digest))))
