"""Compressed layers on their way to the registry, kept in files without a name."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.oci import digest as digests
from sandbox.oci.compression import Compression, compressed
from sandbox.oci.digest import CHUNK, Measured
from sandbox.oci.manifest import Descriptor
from sandbox.system import files


class Scratch:
    """Blobs in one file that has no name in `folder`: nothing of it is left, however this process ends.

    One thread writes it, any may read. Without a folder it is where the system has its temporary files, which on many
    machines is memory.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder:
            files.make_private_dir(folder)
        self._folder = folder or Path(tempfile.gettempdir())
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by close()
        self._end = 0
        self._places: dict[str, int] = {}

    def close(self) -> None:
        """Free the space."""
        with contextlib.suppress(OSError):  # what could not be written is tried again
            self._file.close()

    def pack(self, chunks: Iterable[bytes], kind: Compression) -> Descriptor:
        """Write a layer, compressed, after the kept blobs; the next one replaces it unless it is kept.

        Raises SandboxError when the disk is full.
        """
        with self._refused():
            self._file.seek(self._end)
        size = 0
        # Closed here, and not by the garbage collector: in Python 3.11 a thread that collects while it starts or ends
        # another waits for itself if what it collects ends threads.
        with contextlib.closing(compressed(chunks, kind)) as pieces:
            packed = Measured(pieces)
            for chunk in packed:
                with self._refused():
                    size += self._file.write(chunk)
        with self._refused():
            self._file.flush()
        return Descriptor(kind.media_type, packed.digest, size)

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise files.refused(f"layers cannot be compressed in {self._folder}", error) from error

    def keep(self, blob: Descriptor) -> None:
        """Keep what was written last as `blob`."""
        self._places[blob.digest] = self._end
        self._end += blob.size

    def read(self, blob: Descriptor) -> Iterator[bytes] | None:
        """Yield the bytes of a kept blob, None for any other."""
        start = self._places.get(blob.digest)
        return None if start is None else self._pieces(start, start + blob.size)

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        while start < end and (piece := os.pread(self._file.fileno(), min(CHUNK, end - start), start)):
            start += len(piece)
            yield piece


class CompressSpool:
    """Receives raw layers and keeps those that are `wanted`, compressed, in `scratch`; `ready` is called for each.

    `made` maps their diff ids to the compressed blobs, `failures` those of damaged layers to the reason.
    """

    def __init__(
        self, wanted: Iterable[str], scratch: Scratch, kind: Compression, ready: Callable[[str, Descriptor], None]
    ) -> None:
        self._missing = set(wanted)
        self._scratch = scratch
        self._kind = kind
        self._ready = ready
        self.made: dict[str, Descriptor] = {}
        self.failures: dict[str, SandboxError] = {}

    def wants_unknown(self) -> bool:
        """Tell whether a layer of unknown digest could be one that is missing."""
        return bool(self._missing)

    def buffered(self, data: bytes, digest: str | None) -> None:
        """Take a layer that is in memory as a whole."""
        self.named(digest or digests.of(data), len(data), [data])

    def named(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        """Take a layer of known digest and size."""
        if digest not in self._missing:
            return
        try:
            self._keep(digest, self._scratch.pack(digests.verified(chunks, digest, size), self._kind))
        except digests.DigestMismatch as error:
            self.failures[digest] = error

    def unnamed(self, size: int, chunks: Iterable[bytes]) -> None:
        """Take a layer whose digest its bytes will tell."""
        measured = Measured(chunks)
        blob = self._scratch.pack(measured, self._kind)
        if measured.digest in self._missing:
            self._keep(measured.digest, blob)

    def _keep(self, digest: str, blob: Descriptor) -> None:
        self._scratch.keep(blob)
        self._missing.discard(digest)
        self.made[digest] = blob
        self._ready(digest, blob)
