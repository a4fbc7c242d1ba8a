"""Images in an OCI layout folder (OCI image-spec, image-layout.md), chosen by `index.json`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.config import json_text, text_file
from sandbox.errors import BadFile
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci import reference as references
from sandbox.oci.digest import CHUNK
from sandbox.oci.image import Image, MissingBlob, walk
from sandbox.oci.manifest import CONTAINERD_NAME, REF_NAME, Descriptor, Document, Index
from sandbox.oci.oci_errors import BadImage

LARGEST_DOCUMENT = 8 << 20
SHORT = 12
AGAIN = "write it again with the tool that made it"


def listed(index: Mapping[str, Any]) -> tuple[Descriptor, ...]:
    content = manifests.parse(Document(manifests.OCI_INDEX, manifests.canonical(index)))
    return content.manifests if isinstance(content, Index) else ()


def select(index: Mapping[str, Any], name: str | None, where: str) -> Descriptor:
    """Return the descriptor called `name`, or the only one. Raises SandboxError naming the possible choices."""
    found = listed(index)
    if not found:
        raise BadImage(
            f"{where} holds no image",
            details="its index.json lists none",
            fix=AGAIN,
        )
    fitting = [child for child in found if name is None or goes_by(child, name)]
    distinct = list({child.digest: child for child in fitting}.values())
    if len(distinct) == 1:
        return distinct[0]
    there = f"there: {', '.join(sorted({_label(child) or str(child) for child in found}))}"
    if name is None:
        raise BadImage(f"{where} holds {len(found)} images", details=there, fix="say which one with `image:`")
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


def same(one: str, other: str) -> bool:
    """Tell whether two names mean the same image: `busybox` is `docker.io/library/busybox:latest`."""
    found = [reference.with_default_tag() for text in (one, other) if (reference := references.of_text(text))]
    return len(found) == 2 and found[0] == found[1]


def verified(child: Descriptor, data: bytes, where: str) -> Document:
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


@dataclass(frozen=True)
class Layout:
    """The layout in `folder`, and the image `name` of it; without a name it must hold exactly one."""

    folder: Path
    name: str | None = None

    def image(self) -> Image:
        try:
            index = json_text.document(text_file.read(self.folder / "index.json", most=LARGEST_DOCUMENT))
        except (BadFile, ValueError) as error:
            raise BadImage(
                f"{self.folder} is not an OCI layout",
                details=f"index.json: {error}",
                fix="write `from: archive`" if self.folder.is_file() else "give the folder with index.json and blobs/",
            ) from error
        root = select(index, self.name, str(self.folder))
        document = self._read(root)
        if document is None:
            raise self._missing(root)
        tree = walk(document, self._read, name=str(self.folder))
        for blob in tree.blobs:
            if not self._path(blob).is_file():
                raise self._missing(blob)
        return tree.image(self)

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        try:
            file = self._path(blob).open("rb")
        except OSError as error:
            raise self._missing(blob) from error
        with file:
            yield iter(lambda: file.read(CHUNK), b"")

    def _read(self, child: Descriptor) -> Document | None:
        path = self._path(child)
        try:
            if path.is_file() and path.stat().st_size > LARGEST_DOCUMENT:
                raise BadImage(f"{path} is too large", details=f"{path.stat().st_size} bytes")
            return verified(child, path.read_bytes(), str(self.folder)) if path.is_file() else None
        except OSError as error:
            raise BadImage(f"{path} cannot be read", details=str(error)) from error

    def _path(self, blob: Descriptor) -> Path:
        algorithm, _, encoded = blob.digest.partition(":")
        return self.folder / "blobs" / algorithm / encoded

    def _missing(self, blob: Descriptor) -> MissingBlob:
        return MissingBlob(
            f"the OCI layout {self.folder} is not complete",
            details=f"missing: {blob}",
            fix=AGAIN,
        )
