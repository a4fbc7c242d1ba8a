"""Compression of raw layers: streams in, streams out, the same bytes for the same layer on every machine."""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum

from sandbox.oci.manifest import OCI_LAYER

GZIP_LEVEL = 1
ZSTD_LEVEL = 3
BLOCK = 512 << 10
MOST_THREADS = 8
WINDOW = 32 << 10  # bytes that deflate looks back (RFC 1951, 2)
# RFC 1952, 2.3: no name, no time, an unknown system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x03\x00"  # nothing, but the last (RFC 1951, 3.2.3)


class Compression(Enum):
    """The compression of layers in a registry; RAW costs nothing to make or unpack, for registries on this machine."""

    RAW = "raw"
    GZIP = "gzip"
    ZSTD = "zstd"

    @property
    def media_type(self) -> str:
        """Return the type of such a layer (OCI image-spec, layer.md)."""
        return OCI_LAYER if self is Compression.RAW else f"{OCI_LAYER}+{self.value}"


def compressed(chunks: Iterable[bytes], kind: Compression) -> Generator[bytes, None, None]:
    """Yield `chunks`, compressed, piece by piece; a given version of zlib or zstandard always gives the same bytes.

    gzip's threads end when it does: what does not read it to its end closes it.

    gzip's level 1 is three times as fast as its level 6 and costs about a tenth more bytes. zstd has one thread: more
    would keep tens of megabytes of every layer in memory.
    """
    match kind:
        case Compression.RAW:
            yield from chunks
        case Compression.GZIP:
            yield from _gzip(chunks)
        case Compression.ZSTD:
            import zstandard

            packer = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
            for chunk in chunks:
                if packed := packer.compress(chunk):
                    yield packed
            yield packer.flush()


def _gzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Compress on all cores: blocks of one size, each with the end of the one before as its dictionary (as pigz does).

    The result depends neither on the cores nor on the sizes of `chunks`.
    """
    check, size, before = 0, 0, b""
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    running: deque[Future[bytes]] = deque()
    yield _GZIP_HEADER
    with ThreadPoolExecutor(threads, thread_name_prefix="gzip") as pool:
        for block in _blocks(chunks):
            check, size = zlib.crc32(block, check), size + len(block)
            running.append(pool.submit(_deflated, block, before))
            before = block[-WINDOW:]
            if len(running) > threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    yield _LAST_BLOCK + struct.pack("<LL", check, size & 0xFFFFFFFF)


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes, BLOCK of them at a time."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= BLOCK:
            yield bytes(memoryview(buffer)[:BLOCK])
            del buffer[:BLOCK]
    if buffer:
        yield bytes(buffer)


def _deflated(block: bytes, before: bytes) -> bytes:
    """Compress a block so that another can follow: it ends on a byte boundary and is not the last."""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=before)
    return packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH)
