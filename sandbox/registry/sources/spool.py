"""Layers of a save, compressed into a temporary folder, because a compressed layer's name is known only at its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.registry import digest as digests
from sandbox.registry.compression import Compression, compressed
from sandbox.registry.digest import CHUNK, Measured
from sandbox.registry.image import MissingBlob
from sandbox.registry.manifest import Descriptor


class Spool:
    """Receives raw layers and keeps those that are `wanted` compressed in `folder`; `ready` hears of each.

    `made` maps their diff ids to what became of them, `failures` those that came damaged to the reason.
    """

    def __init__(
        self, wanted: Iterable[str], folder: Path, kind: Compression, ready: Callable[[str, Descriptor], None]
    ) -> None:
        self._missing = set(wanted)
        self._folder = folder
        self._kind = kind
        self._ready = ready
        self.made: dict[str, Descriptor] = {}
        self.failures: dict[str, SandboxError] = {}

    def wants_unknown(self) -> bool:
        """Whether a layer of unknown digest could be one that is missing."""
        return bool(self._missing)

    def buffered(self, data: bytes, digest: str | None) -> None:
        """A layer that is in memory as a whole."""
        self.named(digest or digests.of(data), len(data), [data])

    def named(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        """A layer of known digest and size."""
        if digest not in self._missing:
            return
        try:
            self._keep(digest, *self._pack(digests.verified(chunks, digest, size)))
        except digests.DigestMismatch as error:
            self.failures[digest] = error

    def unnamed(self, size: int, chunks: Iterable[bytes]) -> None:
        """A layer whose digest its bytes will tell."""
        measured = Measured(chunks)
        blob, path = self._pack(measured)
        if measured.digest in self._missing:
            self._keep(measured.digest, blob, path)
        else:
            path.unlink()

    def _pack(self, chunks: Iterable[bytes]) -> tuple[Descriptor, Path]:
        packed, path = Measured(compressed(chunks, self._kind)), self._folder / "packing"
        with path.open("wb") as file:
            size = sum(map(file.write, packed))
        return Descriptor(self._kind.media_type, packed.digest, size), path

    def _keep(self, digest: str, blob: Descriptor, path: Path) -> None:
        path.replace(place(self._folder, blob))
        self._missing.discard(digest)
        self.made[digest] = blob
        self._ready(digest, blob)


class Spooled:
    """The Origin of an image whose layers are in a spool or in the registry; its configuration is in memory."""

    def __init__(self, folder: Path, documents: Mapping[str, bytes]) -> None:
        self._folder = folder
        self._documents = documents

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        """The bytes of a configuration or a compressed layer."""
        if blob.digest in self._documents:
            yield iter([self._documents[blob.digest]])
            return
        try:
            file = place(self._folder, blob).open("rb")
        except FileNotFoundError as error:
            raise MissingBlob(f"{blob.digest} is gone from the registry", fix="push again") from error
        with file:
            yield iter(lambda: file.read(CHUNK), b"")


def place(folder: Path, blob: Descriptor) -> Path:
    """Where a compressed layer is kept."""
    return folder / blob.digest.replace(":", "-")
