"""The folders of Docker Engines, with overlay2 or with containerd, filled as the engine would fill them."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.images import FakeEngine, TestImage, digest_of


@dataclass
class ReadableEngine(FakeEngine):
    """An engine whose `folder` can be read; it holds the images it was made with."""

    folder: Path = field(default_factory=Path)

    def __post_init__(self) -> None:
        for image in self.images.values():
            keep(self.folder, image)

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        found = super().inspect_image(name)
        if not found:
            return None
        image = self.images[name]
        *lower, upper = [str(files(self.folder, image, number)) for number in range(len(image.layers))]
        data = {"UpperDir": upper} | ({"LowerDir": ":".join(reversed(lower))} if lower else {})
        return {**found, "GraphDriver": {"Name": "overlay2", "Data": data}}


@dataclass
class ContainerdEngine(FakeEngine):
    """An engine with the containerd store, whose folder can be read; it holds the images it was made with."""

    folder: Path = field(default_factory=Path)

    def __post_init__(self) -> None:
        for image in self.images.values():
            for digest, data in image.files.items():
                _write(self.blob(digest), data)

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        found = super().inspect_image(name)
        return found and {**found, "Descriptor": self.images[name].descriptor()}

    def root(self) -> Path:
        return self.folder

    def blob(self, digest: str) -> Path:
        blobs = self.folder / "containerd/daemon/io.containerd.content.v1.content/blobs"
        return blobs / digest.replace(":", "/")


def keep(root: Path, image: TestImage) -> None:
    _write(root / "image/overlay2/imagedb/content" / digest_of(image.config).replace(":", "/"), image.config)
    for number, layer in enumerate(image.layers):
        kept = notes(root, image, number)
        _write(kept / "diff", digest_of(layer).encode())
        _write(kept / "cache-id", files(root, image, number).parent.name.encode())
        _write(kept / "tar-split.json.gz", gzip.compress(_split(layer, files(root, image, number))))


def notes(root: Path, image: TestImage, number: int) -> Path:
    """The folder with what the engine knows of a layer."""
    chain = ""
    for layer in image.layers[: number % len(image.layers) + 1]:
        chain = digest_of(f"{chain} {digest_of(layer)}".encode()) if chain else digest_of(layer)
    return root / "image/overlay2/layerdb" / chain.replace(":", "/")


def files(root: Path, image: TestImage, number: int) -> Path:
    return root / "overlay2" / notes(root, image, number).name[::-1] / "diff"


def _split(layer: bytes, folder: Path) -> bytes:
    """The entries of tar-split for a tar, its files written to `folder`."""
    entries: list[dict[str, Any]] = []
    at = 0
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for one in tar:
            entries.append(_segment(layer[at : one.offset_data]))
            entries.append({"type": 1, **_named(one.name), "size": one.size, "payload": None})
            if one.isreg():
                _write(folder / one.name, layer[one.offset_data : one.offset_data + one.size])
            at = one.offset_data + one.size
    entries.append(_segment(layer[at:]))
    lines = (json.dumps({**entry, "position": number}) for number, entry in enumerate(entries))
    return "\n".join(lines).encode() + b"\n"


def _segment(data: bytes) -> dict[str, Any]:
    return {"type": 2, "payload": base64.b64encode(data).decode()}


def _named(name: str) -> dict[str, str]:
    raw = name.encode(errors="surrogateescape")
    try:
        return {"name": raw.decode()}
    except UnicodeDecodeError:
        return {"name_raw": base64.b64encode(raw).decode()}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
