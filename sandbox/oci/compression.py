"""Compression of layers that come raw: streams in, streams out, the same bytes for the same layer on every machine."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from enum import Enum

from sandbox.oci.manifest import OCI_LAYER

GZIP_LEVEL = 1
ZSTD_LEVEL = 3
# RFC 1952, 2.3: no name, no time, an unknown system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


class Compression(Enum):
    """How layers are packed in a registry. RAW costs nothing to make or unpack and suits a registry on this machine."""

    RAW = "raw"
    GZIP = "gzip"
    ZSTD = "zstd"

    @property
    def media_type(self) -> str:
        """Return the type of such a layer (OCI image-spec, layer.md)."""
        return OCI_LAYER if self is Compression.RAW else f"{OCI_LAYER}+{self.value}"


def compressed(chunks: Iterable[bytes], kind: Compression) -> Iterator[bytes]:
    """`chunks`, compressed, a piece at a time; a given version of zlib or zstandard always makes the same of it.

    gzip's level 1 is three times as fast as its level 6 and costs about a tenth more bytes.
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
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    check, size = 0, 0
    yield _GZIP_HEADER
    for chunk in chunks:
        check, size = zlib.crc32(chunk, check), size + len(chunk)
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush() + struct.pack("<LL", check, size & 0xFFFFFFFF)
