"""Images in an OCI layout folder (OCI image-spec, image-layout.md)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox.images.sources.select import select
from sandbox.oci import manifest as manifests
from sandbox.oci.digest import CHUNK
from sandbox.oci.image import Image, MissingBlob, walk
from sandbox.oci.manifest import Descriptor, Document
from sandbox.oci.oci_errors import BadImage


@dataclass(frozen=True)
class Layout:
    """The layout in `folder`, and the image `name` of it; without a name it must hold exactly one."""

    folder: Path
    name: str | None = None

    def image(self) -> Image:
        """Read it. Raises SandboxError when it is no layout, MissingBlob when it is not complete."""
        try:
            index = json.loads((self.folder / "index.json").read_bytes())
        except (OSError, ValueError) as error:
            raise BadImage(
                f"{self.folder} is not an OCI layout",
                details=f"index.json: {error}",
                fix="give the folder that holds index.json and blobs/",
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
        """Yield the bytes of a blob's file."""
        try:
            file = self._path(blob).open("rb")
        except OSError as error:
            raise self._missing(blob) from error
        with file:
            yield iter(lambda: file.read(CHUNK), b"")

    def _read(self, child: Descriptor) -> Document | None:
        path = self._path(child)
        try:
            return manifests.document(path.read_bytes(), child.media_type) if path.is_file() else None
        except OSError as error:
            raise BadImage(f"{path} cannot be read", details=str(error)) from error

    def _path(self, blob: Descriptor) -> Path:
        algorithm, _, encoded = blob.digest.partition(":")
        return self.folder / "blobs" / algorithm / encoded

    def _missing(self, blob: Descriptor) -> MissingBlob:
        return MissingBlob(
            f"the OCI layout {self.folder} is not complete",
            details=f"missing: {blob}",
            fix="write the layout again with the tool that made it",
        )
