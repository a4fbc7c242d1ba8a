"""Compression of raw layers: streams in, streams out, the same bytes for the same layer on every machine."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

import zstandard

from sandbox.oci.manifest import OCI_LAYER

GZIP_FORMAT = zlib.MAX_WBITS | 16


class Compression(Enum):
    """The compression of layers in a registry; RAW costs nothing to make or unpack, for registries on this machine."""

    RAW = "raw"
    GZIP = "gzip"
    ZSTD = "zstd"

    @property
    def media_type(self) -> str:
        return OCI_LAYER if self is Compression.RAW else f"{OCI_LAYER}+{self.value}"


def compressed(chunks: Iterable[bytes], kind: Compression) -> Iterator[bytes]:
    """Yield `chunks`, compressed, piece by piece; a given version of zlib or zstandard always gives the same bytes.

    gzip's level 1 is three times as fast as its level 6 and costs about a tenth more bytes.
    """
    if kind is Compression.RAW:
        yield from chunks
        return
    packer: Any = zlib.compressobj(1, zlib.DEFLATED, GZIP_FORMAT)
    if kind is Compression.ZSTD:
        packer = zstandard.ZstdCompressor(level=3).compressobj()
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()
