"""Images in an OCI layout (OCI image-spec, image-layout.md), chosen by `index.json`: in a folder or a tar."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sandbox.config import json_text
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci import reference as references
from sandbox.oci.digest import CHUNK
from sandbox.oci.image import Image, MissingBlob, walk
from sandbox.oci.manifest import CONTAINERD_NAME, REF_NAME, Descriptor, Document, Index
from sandbox.oci.oci_errors import BadImage

LARGEST_DOCUMENT = 8 << 20
SHORTEST_ID = 12  # digits, as Docker shows them
AGAIN = "write it again with the tool that made it"


class BlobFiles(Protocol):
    """The files of a folder or an archive at `path`, by name."""

    @property
    def path(self) -> Path: ...

    def __contains__(self, name: str) -> bool: ...

    def document(self, name: str) -> bytes | None: ...

    def chunks(self, name: str) -> Generator[bytes]: ...


@dataclass(frozen=True)
class Folder:
    path: Path

    def __contains__(self, name: str) -> bool:
        return (self.path / name).is_file()

    def document(self, name: str) -> bytes | None:
        path = self.path / name
        try:
            if not path.is_file():
                return None
            if (size := path.stat().st_size) > LARGEST_DOCUMENT:
                raise BadImage(f"{path} is too large", details=f"{size} bytes")
            return path.read_bytes()
        except OSError as error:
            raise BadImage(f"{path} cannot be read", details=str(error)) from error

    def chunks(self, name: str) -> Generator[bytes]:
        with (self.path / name).open("rb") as file:
            yield from iter(lambda: file.read(CHUNK), b"")


@dataclass(frozen=True)
class Blobs:
    """The Origin of blobs in files: `places` maps digests to names, the others are where a layout has them."""

    files: BlobFiles
    places: Mapping[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        name = self.places.get(blob.digest, place(blob))
        if name not in self.files:
            raise incomplete(self.files, str(blob))
        with contextlib.closing(self.files.chunks(name)) as chunks:
            yield chunks


def layout_image(folder: Path, name: str | None = None) -> Image:
    files = Folder(folder)
    if (index := read_index(files)) is None:
        raise BadImage(
            f"{folder} is not an OCI layout",
            details="it has no index.json",
            fix="write `from: archive`" if folder.is_file() else "give the folder with index.json and blobs/",
        )
    return image_in(files, select(index, name, str(folder)))


def read_index(files: BlobFiles) -> Mapping[str, Any] | None:
    data = files.document("index.json")
    try:
        return None if data is None else dict(json_text.document(data))
    except (ValueError, TypeError) as error:
        raise BadImage(f"index.json of {files.path} is not valid", details=repr(error), fix=AGAIN) from error


def image_in(files: BlobFiles, root: Descriptor) -> Image:
    """Follow an image in the layout down to its blobs, which must exist. Raises MissingBlob, BadImage."""

    def read(child: Descriptor) -> Document | None:
        if (data := files.document(place(child))) is None:
            return None
        try:  # under the digest of other bytes it would be another image, or one that no index has
            whole = b"".join(digests.verified([data], child.digest, child.size))
        except digests.DigestMismatch as error:
            details = f"{error.brief}: {error.details}"
            raise BadImage(f"{files.path} is damaged", details=details, fix=AGAIN) from error
        return manifests.document(whole, child.media_type)

    if (document := read(root)) is None:
        raise incomplete(files, str(root))
    image = walk(document, read, Blobs(files), name=str(files.path))
    if lost := next((blob for blob in image.blobs if place(blob) not in files), None):
        raise incomplete(files, str(lost))
    return image


def place(blob: Descriptor) -> str:
    return f"blobs/{blob.digest.replace(':', '/', 1)}"


def incomplete(files: BlobFiles, missing: str) -> MissingBlob:
    return MissingBlob(f"{files.path} is not complete", details=f"missing: {missing}", fix=AGAIN)


def select(index: Mapping[str, Any], name: str | None, where: str) -> Descriptor:
    """Return the descriptor called `name`, or the only one. Raises SandboxError naming the possible choices.

    A name is the full one of an annotation, its tag alone, or a digest, which may be short.
    """
    content = manifests.parse(Document(manifests.OCI_INDEX, manifests.canonical(index)))
    children = content.manifests if isinstance(content, Index) else ()
    if not children:
        raise BadImage(f"{where} holds no image", details="its index.json lists none", fix=AGAIN)
    distinct: dict[str, Descriptor] = {}
    existing = set[str]()
    for child in children:
        names = [text for key in (CONTAINERD_NAME, REF_NAME) if (text := child.annotations.get(key))]
        existing.add(names[0] if names else str(child))
        is_named = name in names or any(same(text, name or "") for text in names)
        if name is None or is_named or is_short_for(name, child.digest):
            distinct.setdefault(child.digest, child)
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    details = f"there: {', '.join(sorted(existing))}"
    if name is None:
        raise BadImage(f"{where} holds {len(children)} images", details=details, fix="say which one with `image:`")
    raise BadImage(f"{where} has no image {name}", details=details, fix="correct `image:`")


def is_short_for(name: str, digest: str) -> bool:
    digits = name.removeprefix("sha256:")
    return len(digits) >= SHORTEST_ID and digest.removeprefix("sha256:").startswith(digits)


def same(name: str, other: str) -> bool:
    """Tell whether two names mean the same image: `busybox` is `docker.io/library/busybox:latest`."""
    parsed = [reference.with_default_tag() for text in (name, other) if (reference := references.of_text(text))]
    return len(parsed) == 2 and parsed[0] == parsed[1]
