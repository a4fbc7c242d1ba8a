"""The folders where a Docker Engine of this machine keeps images, read directly: a layer costs its own bytes, no save.

Everything in them is named by a digest that is compared while it is read. So it does not matter whose folders they are,
or what changes meanwhile: bytes that do not fit their name are never pushed, and the engine is asked for a `save`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sandbox.images.sources import tar_split
from sandbox.images.sources.tar_split import Unreadable
from sandbox.images.sources.v1layers import chains
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.image import Image, Tree
from sandbox.oci.manifest import OCI_CONFIG, OCI_LAYER, Descriptor

LARGEST_DOCUMENT = 8 << 20
METACOPY = Path("/sys/module/overlay/parameters/metacopy")
_CACHE_ID = re.compile(r"[0-9a-z][0-9a-z-]*")

SizeOf = Callable[[str], int | None]


class EngineStore(Protocol):
    """Where an engine keeps images, as far as it can be read."""

    def image(self, content: Mapping[str, Any], size_of: SizeOf) -> Image:
        """The image that the engine describes by `content` (`GET /images/{name}/json`); raises Unreadable.

        `size_of` gives the sizes of layers, by digest, that need not be looked at.
        """


@dataclass(frozen=True)
class OverlayStore:
    """The classic store with the driver overlay2, at the engine's `root` (moby, daemon/internal/layer/filestore.go)."""

    root: Path

    def image(self, content: Mapping[str, Any], size_of: SizeOf) -> Image:
        """The image with raw layers and a manifest of ours, as `DaemonImages` makes it of a save."""
        name = str(content["Id"])
        config = _document(self.root / "image/overlay2/imagedb/content" / _path(name), name)
        places: dict[str, tuple[Path, Path]] = {}
        layers = []
        for chain, diff_id in chains([manifests.diff_ids(config)]).items():
            size = size_of(diff_id)
            if size is None:
                places[diff_id] = split, _ = self._place(chain, diff_id)
                size = tar_split.size(split)
            layers.append(Descriptor(OCI_LAYER, diff_id, size))
        described = Descriptor(OCI_CONFIG, name, len(config))
        document = manifests.image_manifest(described, layers)
        tree = Tree((document,), tuple(dict.fromkeys((described, *layers))))
        return tree.image(_Overlay({name: config}, places))

    def _place(self, chain: str, diff_id: str) -> tuple[Path, Path]:
        """Where a layer's headers and files are."""
        kept = self.root / "image/overlay2/layerdb" / _path(chain)
        cache = _text(kept / "cache-id")
        if _text(kept / "diff") != diff_id or not _CACHE_ID.fullmatch(cache):
            raise Unreadable("the engine's notes of a layer are not understood", details=str(kept))
        return kept / "tar-split.json.gz", self.root / "overlay2" / cache / "diff"


@dataclass(frozen=True)
class _Overlay:
    """The Origin of one image of the classic store."""

    documents: Mapping[str, bytes]
    places: Mapping[str, tuple[Path, Path]]

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        """The bytes of a configuration or a layer."""
        if blob.digest in self.documents:
            yield iter([self.documents[blob.digest]])
            return
        if blob.digest not in self.places:
            raise Unreadable(f"{blob.digest} was not looked for in the engine's folders")
        with contextlib.closing(tar_split.chunks(*self.places[blob.digest])) as chunks:
            yield chunks


def of(content: Mapping[str, Any]) -> EngineStore:
    """The store that has an image, from what the engine says about it. Raises Unreadable when there is none to read."""
    if content.get("Descriptor"):
        raise Unreadable("the engine keeps its images in containerd")
    driver = content.get("GraphDriver") or {}
    upper = str((driver.get("Data") or {}).get("UpperDir") or "")
    if driver.get("Name") != "overlay2" or not upper:
        raise Unreadable(f"the engine keeps its layers by {driver.get('Name') or 'an unknown driver'}")
    root = Path(upper).parent.parent.parent
    if re.fullmatch(r"\d+\.\d+", root.name):
        raise Unreadable("the engine maps users", details=str(root))
    if not os.access(root / "image", os.R_OK | os.X_OK):
        raise Unreadable("the engine's folder cannot be read by this user", details=str(root))
    with contextlib.suppress(OSError):
        if METACOPY.read_text(encoding="ascii").strip() == "Y":
            raise Unreadable("the kernel's overlay keeps parts of files apart (metacopy)")
    return OverlayStore(root)


def _document(path: Path, digest: str) -> bytes:
    """A small file whose name is its digest."""
    data = _bytes(path)
    if digests.of(data) != digest:
        raise Unreadable("a document in the engine's folder is damaged", details=str(path))
    return data


def _text(path: Path) -> str:
    return _bytes(path).decode("ascii", errors="replace").strip()


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_DOCUMENT + 1)
    except OSError as error:
        raise Unreadable("the engine's folder cannot be read", details=str(error)) from error
    if len(data) > LARGEST_DOCUMENT:
        raise Unreadable("a document in the engine's folder is too large", details=str(path))
    return data


def _path(digest: str) -> str:
    """`sha256/<hex>`, for a digest that is one."""
    if not digests.is_digest(digest):
        raise Unreadable(f"{digest!r} is not a digest")
    return digest.replace(":", "/", 1)
