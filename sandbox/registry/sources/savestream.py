"""The tar that `docker save` streams, old layout or new, taken apart as it passes: no temporary file, little memory."""

from __future__ import annotations

import io
import json
import posixpath
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

from sandbox.errors import SandboxError
from sandbox.registry import digest as digests
from sandbox.registry.digest import CHUNK
from sandbox.registry.landing import Landing

SMALL = 8 << 20


@dataclass(frozen=True)
class Documents:
    """The JSON files of a stream by their path: configurations, manifests, indexes."""

    by_path: Mapping[str, bytes]

    @cached_property
    def by_digest(self) -> Mapping[str, bytes]:
        """The same files by what their bytes say they are, never by what they are called."""
        return {digests.of(data): data for data in self.by_path.values()}

    @cached_property
    def index(self) -> Mapping[str, Any]:
        """The OCI index of a stream in the new layout, empty in the old one. Raises SandboxError."""
        try:
            content = json.loads(self.by_path.get("index.json", b"{}"))
        except ValueError as error:
            raise SandboxError("the Docker Engine saved an index that is not JSON", details=str(error)) from error
        return content if isinstance(content, dict) else {}


def take(stream: Iterator[bytes], landing: Landing) -> Documents:
    """Read a stream to its end, its layers into `landing`. Raises SandboxError when it breaks off.

    Files of up to SMALL bytes are held in memory one at a time, so that they are sent only if missing and can be sent
    again; larger ones go straight through.
    """
    documents: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=_Reader(stream), mode="r|", bufsize=CHUNK) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if file is not None:
                    _one(posixpath.normpath(member.name), member.size, file, landing, documents)
    except (tarfile.TarError, EOFError) as error:
        raise SandboxError(
            "the Docker Engine's save broke off", details=str(error), fix="look at the engine's log, then try again"
        ) from error
    return Documents(documents)


def _one(name: str, size: int, file: IO[bytes], landing: Landing, documents: dict[str, bytes]) -> None:
    digest = _digest_of(name)
    if size <= SMALL:
        data = file.read()
        if name.endswith(".json") or (digest and data.startswith(b"{")):
            documents[name] = data
        elif digest or _is_old_layer(name):
            landing.buffered(data, digest)
    elif digest:
        landing.named(digest, size, _chunks(file))
    elif _is_old_layer(name) and landing.wants_unknown():
        landing.unnamed(size, _chunks(file))


def _digest_of(name: str) -> str | None:
    """The digest a path like `blobs/sha256/<hex>` names (OCI image-spec, image-layout.md)."""
    parts = name.split("/")
    digest = ":".join(parts[1:])
    return digest if len(parts) == 3 and parts[0] == "blobs" and digests.is_digest(digest) else None


def _is_old_layer(name: str) -> bool:
    """Docker before 25 calls layers `<id>/layer.tar`, an id that says nothing about the content."""
    return posixpath.basename(name) == "layer.tar"


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


class _Reader(io.RawIOBase):
    """An iterator of bytes as a file that can only be read forward."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._stream = stream
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        parts, left = [], size
        while left > 0:
            if not self._rest:
                chunk = next(self._stream, None)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            part, self._rest = self._rest[:left], self._rest[left:]
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
