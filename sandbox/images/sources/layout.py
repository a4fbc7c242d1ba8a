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
from sandbox.oci.image import Image, MissingBlob, Tree, walk
from sandbox.oci.manifest import CONTAINERD_NAME, REF_NAME, Descriptor, Document, Index
from sandbox.oci.oci_errors import BadImage

LARGEST_DOCUMENT = 8 << 20
SHORT = 12
AGAIN = "write it again with the tool that made it"


class BlobFiles(Protocol):
    """The regular files of an OCI layout, by name; the layout is a folder or a tar archive at `path`."""

    @property
    def path(self) -> Path: ...

    def __contains__(self, name: str) -> bool: ...

    def document(self, name: str) -> bytes | None: ...

    def chunks(self, name: str) -> Generator[bytes]: ...


@dataclass(frozen=True)
class Folder:
    """The files in a folder."""

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
    """The Origin of blobs in files: `places` maps their digests to names, the others are where a layout has them."""

    files: BlobFiles
    places: Mapping[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        name = self.places.get(blob.digest, place(blob))
        if name not in self.files:
            raise incomplete(self.files, str(blob))
        with contextlib.closing(self.files.chunks(name)) as chunks:
            yield chunks


@dataclass(frozen=True)
class Layout:
    """The layout in `folder`, and the image `name` of it; without a name it must hold exactly one."""

    folder: Path
    name: str | None = None

    def image(self) -> Image:
        files = Folder(self.folder)
        if (index := read_index(files)) is None:
            raise BadImage(
                f"{self.folder} is not an OCI layout",
                details="it has no index.json",
                fix="write `from: archive`" if self.folder.is_file() else "give the folder with index.json and blobs/",
            )
        return tree_of(files, select(index, self.name, str(self.folder))).image(Blobs(files))


def read_index(files: BlobFiles) -> Mapping[str, Any] | None:
    data = files.document("index.json")
    try:
        return None if data is None else dict(json_text.document(data))
    except (ValueError, TypeError) as error:
        raise BadImage(f"index.json of {files.path} is not valid", details=repr(error), fix=AGAIN) from error


def tree_of(files: BlobFiles, root: Descriptor) -> Tree:
    """Follow an image in the layout down to its blobs, which must be there. Raises MissingBlob, BadImage."""

    def read(child: Descriptor) -> Document | None:
        data = files.document(place(child))
        return None if data is None else _verified(child, data, str(files.path))

    if (document := read(root)) is None:
        raise incomplete(files, str(root))
    tree = walk(document, read, name=str(files.path))
    if lost := next((blob for blob in tree.blobs if place(blob) not in files), None):
        raise incomplete(files, str(lost))
    return tree


def place(blob: Descriptor) -> str:
    return f"blobs/{blob.digest.replace(':', '/', 1)}"


def incomplete(files: BlobFiles, missing: str) -> MissingBlob:
    return MissingBlob(f"{files.path} is not complete", details=f"missing: {missing}", fix=AGAIN)


def listed(index: Mapping[str, Any]) -> tuple[Descriptor, ...]:
    content = manifests.parse(Document(manifests.OCI_INDEX, manifests.canonical(index)))
    return content.manifests if isinstance(content, Index) else ()


def select(index: Mapping[str, Any], name: str | None, where: str) -> Descriptor:
    """Return the descriptor called `name`, or the only one. Raises SandboxError naming the possible choices."""
    children = listed(index)
    if not children:
        raise BadImage(
            f"{where} holds no image",
            details="its index.json lists none",
            fix=AGAIN,
        )
    fitting = [child for child in children if name is None or goes_by(child, name)]
    distinct = list({child.digest: child for child in fitting}.values())
    if len(distinct) == 1:
        return distinct[0]
    there = f"there: {', '.join(sorted({_label(child) or str(child) for child in children}))}"
    if name is None:
        raise BadImage(f"{where} holds {len(children)} images", details=there, fix="say which one with `image:`")
    raise BadImage(f"{where} has no image {name}", details=there, fix="correct `image:`")


def goes_by(child: Descriptor, name: str) -> bool:
    """Tell whether a descriptor has the `name`: as its full name, its tag alone, or its digest, which may be short."""
    labels = {child.annotations.get(REF_NAME), child.annotations.get(CONTAINERD_NAME)}
    if name in labels or is_short_for(name, child.digest):
        return True
    return any(label is not None and same(label, name) for label in labels)


def is_short_for(name: str, digest: str) -> bool:
    """Tell whether `name` is a `digest`, or begins it: Docker shows twelve digits of one."""
    digits = name.removeprefix("sha256:")
    return len(digits) >= SHORT and digest.removeprefix("sha256:").startswith(digits)


def same(name: str, other: str) -> bool:
    """Tell whether two names mean the same image: `busybox` is `docker.io/library/busybox:latest`."""
    parsed = [reference.with_default_tag() for text in (name, other) if (reference := references.of_text(text))]
    return len(parsed) == 2 and parsed[0] == parsed[1]


def _verified(child: Descriptor, data: bytes, where: str) -> Document:
    """Return the document `child`, whose bytes in the file or folder `where` are `data`.

    Raises BadImage for other bytes: under the digest of these it would be another image, or one that no index has.
    """
    try:
        whole = b"".join(digests.verified([data], child.digest, child.size))
    except digests.DigestMismatch as error:
        raise BadImage(f"{where} is damaged", details=": ".join((error.brief, error.details)), fix=AGAIN) from error
    return manifests.document(whole, child.media_type)


def _label(child: Descriptor) -> str | None:
    return child.annotations.get(CONTAINERD_NAME) or child.annotations.get(REF_NAME)
