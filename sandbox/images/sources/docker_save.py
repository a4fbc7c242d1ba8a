"""Takes the layers and documents out of a `docker save`, old layout or new, as it passes: no temporary file.

Docker before 25 saves layers as `<id>/layer.tar` next to `<id>/json`, a description. The id is the sha256 of that
description in the form it had before it was given its id: without `id`, with the chain id of the layer as `layer_id`
and the parent's digest in full, keys sorted. A match proves the chain id, and that proves the layer.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sandbox.config import json_text
from sandbox.errors import Away, SandboxError
from sandbox.images.sources.image_source import Daemon, Inspected
from sandbox.images.sources.tar_stream import Member, TarStream
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.image import Image
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import Target


def recognised(folder: str, description: bytes, known: Mapping[str, str]) -> str | None:
    """Return the diff id of the layer in `folder`, one of those of `known` (see `manifest.chains`), or None."""
    try:
        members = _members(description.decode())
    except (ValueError, IndexError):
        return None
    members.pop("id", None)
    if parent := members.pop("parent", None):
        members["parent"] = f'"sha256:{parent[1:]}'
    # The system's name is added to all descriptions, but was there when the id was made only in a topmost one.
    forms = [members, {key: value for key, value in members.items() if key != "os"}]
    for chain, diff_id in known.items():
        for form in forms:
            ordered = sorted((form | {"layer_id": f'"{chain}"'}).items())
            text = ",".join(f'"{key}":{value}' for key, value in ordered)
            if hashlib.sha256(f"{{{text}}}".encode()).hexdigest() == folder:
                return diff_id
    return None


def _members(text: str) -> dict[str, str]:
    """Return the members of a JSON object without spaces, each value as it is written.

    Raises ValueError, IndexError.
    """
    decoder = json.JSONDecoder()
    found: dict[str, str] = {}
    end = 0
    while text[end] != "}":
        key, colon = decoder.raw_decode(text, end + 1)
        _, end = decoder.raw_decode(text, colon + 1)
        found[str(key)] = text[colon + 1 : end]
    return found


SMALL = 4 << 20


class Receiver(Protocol):
    """Receives the layers of a stream, each as much of it as is wanted."""

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

    `by_path` has them under their names, `by_digest` under the digests of their bytes.
    """

    by_path: dict[str, bytes] = field(default_factory=dict)
    by_digest: dict[str, bytes] = field(default_factory=dict)

    def add(self, path: str, data: bytes) -> None:
        """Keep a document."""
        self.by_path[path] = self.by_digest[digests.of(data)] = data

    @property
    def index(self) -> Mapping[str, Any]:
        """Return the OCI index of a stream in the new layout, empty in the old one. Raises SandboxError."""
        try:
            content = json_text.document(self.by_path.get("index.json", b"{}"))
        except ValueError as error:
            raise BadImage("the Docker Engine saved an index that is not JSON", details=str(error)) from error
        return content if isinstance(content, dict) else {}


def take(
    stream: Iterator[bytes],
    receiver: Receiver,
    chains: Mapping[str, str],
    enough: Callable[[Documents], bool] = lambda _: False,
) -> Documents:
    """Read a stream to its end, or until it is `enough`, its layers into `receiver`.

    `chains` are the diff ids of the expected layers by their chain ids. Files of up to SMALL bytes are held in memory,
    so that they can be sent again; larger ones pass directly. Raises SandboxError when the stream breaks off.
    """
    taking = _Taking(TarStream(stream), receiver, chains)
    for member in taking.tar:
        taking.one(posixpath.normpath(member.name), member)
        if enough(taking.documents):
            break
    return taking.documents


def take_saved(
    daemon: Daemon, wanted: Sequence[Inspected], receiver: Receiver, describes: Callable[[bytes, Inspected], bool]
) -> Documents:
    """Read one save of all these images, up to the last layer that is missing.

    `describes` tells whether a document, by its digest an image's id, is the image's configuration. Raises SandboxError
    as `take` does.
    """

    def enough(documents: Documents) -> bool:
        found = ((documents.by_digest.get(one.id), one) for one in wanted)
        return not receiver.wants_unknown() and all(data is not None and describes(data, one) for data, one in found)

    stream = daemon.save(list(dict.fromkeys(one.name for one in wanted)))
    try:
        return take(stream, receiver, manifests.chains(one.diff_ids for one in wanted), enough)
    finally:
        if isinstance(stream, Generator):
            stream.close()


def by_halves(
    wanted: Sequence[Inspected], save: Callable[[Sequence[Inspected]], dict[Target, Image | SandboxError]]
) -> dict[Target, Image | SandboxError]:
    """Return what one save of all these images gives or, where it fails, one of each half.

    An image that the engine cannot give keeps it from giving any of the save's others.
    """
    try:
        return save(wanted)
    except SandboxError as error:
        if len(wanted) == 1 or isinstance(error, Away):
            return dict.fromkeys((one.target for one in wanted), error)
    middle = len(wanted) // 2
    return by_halves(wanted[:middle], save) | by_halves(wanted[middle:], save)


class _Taking:
    """One stream, and what is known of it so far."""

    def __init__(self, tar: TarStream, receiver: Receiver, chains: Mapping[str, str]) -> None:
        self.tar = tar
        self.documents = Documents()
        self._receiver = receiver
        self._chains = chains
        self._described = ("", b"")

    def one(self, name: str, member: Member) -> None:
        """Take the next file."""
        folder, _, base = name.rpartition("/")
        if base == "json" and member.size <= SMALL:
            self._described = (folder, self.tar.read())
            return
        digest = _digest_of(name) or (self._old_layer(folder) if base == "layer.tar" else None)
        if member.size <= SMALL:
            data = self.tar.read()
            if name.endswith(".json") or (digest and data.startswith(b"{")):
                self.documents.add(name, data)
            elif digest or base == "layer.tar":
                self._receiver.buffered(data, digest)
        elif digest:
            self._receiver.named(digest, member.size, self.tar.chunks())
        elif base == "layer.tar" and self._receiver.wants_unknown():
            self._receiver.unnamed(member.size, self.tar.chunks())

    def _old_layer(self, folder: str) -> str | None:
        """Return the digest of a layer that Docker before 25 calls `<id>/layer.tar`; the description came before it."""
        described, description = self._described
        return recognised(folder, description, self._chains) if folder == described else None


def _digest_of(name: str) -> str | None:
    """Return the digest that a path like `blobs/sha256/<hex>` names (OCI image-spec, image-layout.md).

    Podman calls layers `<hex>.tar` and configurations `<hex>.json` (containers/image, docker/internal/tarfile).
    """
    parts = name.split("/")
    digest = ":".join(parts[1:]) if len(parts) == 3 and parts[0] == "blobs" else f"sha256:{parts[0].partition('.')[0]}"
    return digest if len(parts) in (1, 3) and digests.is_digest(digest) else None
