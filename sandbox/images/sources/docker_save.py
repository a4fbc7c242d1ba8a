"""The tar that `docker save` streams, old layout or new, taken apart as it passes: no temporary file, little memory."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sandbox.images.sources import v1layers
from sandbox.images.sources.tar_stream import Member, Tape
from sandbox.oci import digest as digests
from sandbox.oci.oci_errors import BadImage

SMALL = 4 << 20


class Receiver(Protocol):
    """Where the layers of a stream go, each as much of it as is wanted."""

    def wants_unknown(self) -> bool:
        """Tell whether a layer of unknown digest could be one that is missing."""

    def buffered(self, data: bytes, digest: str | None) -> None:
        """Take a layer that is in memory as a whole."""

    def named(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        """Take a layer of known digest and size."""

    def unnamed(self, size: int, chunks: Iterable[bytes]) -> None:
        """Take a layer whose digest its bytes will tell."""


@dataclass
class Documents:
    """The JSON files of a stream, so far: configurations, manifests, indexes.

    `by_path` has them under their names, `by_digest` under what their bytes say they are.
    """

    by_path: dict[str, bytes] = field(default_factory=dict)
    by_digest: dict[str, bytes] = field(default_factory=dict)

    def add(self, path: str, data: bytes) -> None:
        """Keep one."""
        self.by_path[path] = self.by_digest[digests.of(data)] = data

    @property
    def index(self) -> Mapping[str, Any]:
        """Return the OCI index of a stream in the new layout, empty in the old one. Raises SandboxError."""
        try:
            content = json.loads(self.by_path.get("index.json", b"{}"))
        except ValueError as error:
            raise BadImage("the Docker Engine saved an index that is not JSON", details=str(error)) from error
        return content if isinstance(content, dict) else {}


def take(
    stream: Iterator[bytes],
    receiver: Receiver,
    chains: Mapping[str, str],
    enough: Callable[[Documents], bool] = lambda _: False,
) -> Documents:
    """Read a stream to its end, or until it was `enough`, its layers into `receiver`.

    `chains` are the diff ids of the expected layers by their chain ids. Files of up to SMALL bytes are held in memory,
    so that they can be sent again; larger ones go straight through. Raises SandboxError when the stream breaks off.
    """
    taking = _Taking(Tape(stream), receiver, chains)
    for member in taking.tape:
        taking.one(posixpath.normpath(member.name), member)
        if enough(taking.documents):
            break
    return taking.documents


class _Taking:
    """One stream, and what is known of it so far."""

    def __init__(self, tape: Tape, receiver: Receiver, chains: Mapping[str, str]) -> None:
        self.tape = tape
        self.documents = Documents()
        self._receiver = receiver
        self._chains = chains
        self._described = ("", b"")

    def one(self, name: str, member: Member) -> None:
        """Return the next file."""
        folder, _, base = name.rpartition("/")
        if base == "json" and member.size <= SMALL:
            self._described = (folder, self.tape.read())
            return
        digest = _digest_of(name) or (self._old_layer(folder) if base == "layer.tar" else None)
        if member.size <= SMALL:
            data = self.tape.read()
            if name.endswith(".json") or (digest and data.startswith(b"{")):
                self.documents.add(name, data)
            elif digest or base == "layer.tar":
                self._receiver.buffered(data, digest)
        elif digest:
            self._receiver.named(digest, member.size, self.tape.chunks())
        elif base == "layer.tar" and self._receiver.wants_unknown():
            self._receiver.unnamed(member.size, self.tape.chunks())

    def _old_layer(self, folder: str) -> str | None:
        """Return the digest of a layer that Docker before 25 calls `<id>/layer.tar`; the description came before it."""
        described, description = self._described
        return v1layers.recognised(folder, description, self._chains) if folder == described else None


def _digest_of(name: str) -> str | None:
    """Return the digest a path like `blobs/sha256/<hex>` names (OCI image-spec, image-layout.md)."""
    parts = name.split("/")
    digest = ":".join(parts[1:])
    return digest if len(parts) == 3 and parts[0] == "blobs" and digests.is_digest(digest) else None
