"""Layers of a save, compressed into a temporary folder, because a compressed layer's name is known only at its end."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path

from sandbox.registry import digest as digests
from sandbox.registry.client import Client
from sandbox.registry.compression import Compression, compressed
from sandbox.registry.digest import CHUNK
from sandbox.registry.holdings import Holdings
from sandbox.registry.image import MissingBlob
from sandbox.registry.landing import Landing
from sandbox.registry.manifest import Descriptor
from sandbox.registry.progress import Observer


class Spool(Landing):
    """Receives raw layers and keeps those that are `wanted` compressed in `folder`; `ready` hears of each.

    `made` maps their diff ids to what became of them.
    """

    def __init__(
        self,
        client: Client,
        holdings: Holdings,
        observer: Observer,
        pool: Executor,
        wanted: Mapping[str, tuple[str, ...]],
        folder: Path,
        kind: Compression,
        ready: Callable[[str, Descriptor], None],
    ) -> None:
        super().__init__(client, holdings, observer, pool, wanted, "")
        self._missing = set(wanted)
        self._folder = folder
        self._kind = kind
        self._ready = ready
        self.made: dict[str, Descriptor] = {}

    def has(self, digest: str) -> bool:
        """Whether a layer need not be kept, since nobody wants it or it is here."""
        return digest not in self._missing

    def wants_unknown(self) -> bool:
        return bool(self._missing)

    def buffered(self, data: bytes, digest: str | None) -> None:
        name = digest or digests.of(data)
        if not self.has(name):
            self.named(name, len(data), [data])

    def named(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        if self.has(digest):
            return
        try:
            self._keep(digest, *self._pack(digests.verified(chunks, digest, size)))
        except digests.DigestMismatch as error:
            self.failures[digest] = error

    def unnamed(self, size: int, chunks: Iterable[bytes]) -> None:
        measure = hashlib.sha256()

        def measured() -> Iterator[bytes]:
            for chunk in chunks:
                measure.update(chunk)
                yield chunk

        blob, path = self._pack(measured())
        digest = f"sha256:{measure.hexdigest()}"
        if self.has(digest):
            path.unlink()
        else:
            self._keep(digest, blob, path)

    def _pack(self, chunks: Iterable[bytes]) -> tuple[Descriptor, Path]:
        measure, size = hashlib.sha256(), 0
        path = self._folder / "packing"
        with path.open("wb") as file:
            for chunk in compressed(chunks, self._kind):
                measure.update(chunk)
                size += file.write(chunk)
        return Descriptor(self._kind.media_type, f"sha256:{measure.hexdigest()}", size), path

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
