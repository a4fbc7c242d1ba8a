"""Reads images from the folders of a Docker Engine on this machine: a layer costs only its own bytes, no save.

Everything in them is named by a digest that is compared while it is read. So it does not matter whose folders they are,
or what changes meanwhile: bytes that do not match their name are never pushed, and the engine is asked for a `save`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sandbox.errors import SandboxError
from sandbox.images.sources import tar_split
from sandbox.images.sources.image_source import Daemon
from sandbox.images.sources.tar_split import Unreadable
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.digest import CHUNK
from sandbox.oci.image import Image, Tree, walk
from sandbox.oci.manifest import OCI_CONFIG, OCI_LAYER, Descriptor, Document

LARGEST_DOCUMENT = 8 << 20
# Of the system, and of Docker Desktop's virtual machine.
CONTAINERDS = (Path("/var/lib/containerd"), Path("/var/lib/desktop-containerd/daemon"))
METACOPY = Path("/sys/module/overlay/parameters/metacopy")
_CACHE_ID = re.compile(r"[0-9a-z][0-9a-z-]*")

SizeOf = Callable[[str], int | None]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OverlayStore:
    """The classic store with the driver overlay2, at the engine's `root` (moby, daemon/internal/layer/filestore.go)."""

    root: Path

    def image(self, content: Mapping[str, Any], size_of: SizeOf) -> Image:
        """Return the image with raw layers and our own manifest, as `DaemonImages` makes it from a save."""
        name = str(content["Id"])
        config = _document(self.root / "image/overlay2/imagedb/content" / _path(name), name)
        places: dict[str, tuple[Path, Path]] = {}
        layers = []
        for chain, diff_id in manifests.chains([manifests.diff_ids(config)]).items():
            size = size_of(diff_id)
            if size is None:
                places[diff_id] = split, _ = self._place(chain, diff_id)
                size = tar_split.size(split)
            layers.append(Descriptor(OCI_LAYER, diff_id, size))
        described = Descriptor(OCI_CONFIG, name, len(config))
        return Tree.of(described, layers).image(_Overlay({name: config}, places))

    def _place(self, chain: str, diff_id: str) -> tuple[Path, Path]:
        """Return the folder of a layer's headers, and that of its files."""
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
        """Yield the bytes of a configuration or a layer."""
        if blob.digest in self.documents:
            yield iter([self.documents[blob.digest]])
            return
        if blob.digest not in self.places:
            raise Unreadable(f"{blob.digest} was not looked for in the engine's folders")
        with contextlib.closing(tar_split.chunks(*self.places[blob.digest])) as chunks:
            yield chunks


@dataclass(frozen=True)
class ContainerdStore:
    """The blobs of a containerd, as they were pulled or built, in files named by digest (plugins/content/local)."""

    blobs: Path

    def image(self, content: Mapping[str, Any], size_of: SizeOf) -> Image:
        """Return the image with its own manifests and layers, which are those of its upstream."""
        tree = walk(self._read(descriptor(content)), self._child, name=str(content["Id"]))
        for blob in tree.blobs:
            if size_of(blob.digest) is None:
                self._whole(blob)
        return tree.image(self)

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        """Yield the bytes of a blob's file."""
        with _opened(self._whole(blob)) as file:
            yield iter(lambda: file.read(CHUNK), b"")

    def _child(self, child: Descriptor) -> Document | None:
        """Return a manifest; None for a platform that the engine does not have."""
        return self._read(child) if (self.blobs / _path(child.digest)).exists() else None

    def _read(self, document: Descriptor) -> Document:
        data = _document(self.blobs / _path(document.digest), document.digest)
        return manifests.document(data, document.media_type)

    def _whole(self, blob: Descriptor) -> Path:
        """Return the file of a blob, if it has the right size."""
        path = self.blobs / _path(blob.digest)
        with _opened(path) as file:
            if os.fstat(file.fileno()).st_size != blob.size:
                raise Unreadable("a blob in the engine's folder is not whole", details=str(path))
        return path


def of(content: Mapping[str, Any], root: Callable[[], Path]) -> OverlayStore | ContainerdStore:
    """Return the store that has an image, by the engine's description of it; `root` returns the engine's own folder.

    Raises Unreadable when there is none that can be read.
    """
    if content.get("Descriptor"):
        return ContainerdStore(_content_folder(root(), descriptor(content)))
    folder = overlay_root(content)
    if not is_readable(folder):
        raise Unreadable("the engine's folder cannot be read by this user", details=str(folder))
    with contextlib.suppress(OSError):
        if METACOPY.read_text(encoding="ascii").strip() == "Y":
            raise Unreadable("the kernel's overlay keeps parts of files apart (metacopy)")
    return OverlayStore(folder)


def opened(daemon: Daemon, name: str, size_of: SizeOf) -> Image | None:
    """Return an image in the engine's own folders, None when it cannot be read there."""
    try:
        content = daemon.inspect_image(name) or {}
        return of(content, daemon.root).image(content, size_of)
    except SandboxError as error:
        log.info("%s is not read directly: %s", name, error)
        return None


def is_readable(root: Path) -> bool:
    """Tell whether this process may read the images in the folder of an engine, which may be on another machine."""
    return os.access(root / "image", os.R_OK | os.X_OK)


def overlay_folders(content: Mapping[str, Any]) -> Mapping[str, Path]:
    """Return the engine's folders that an image's layers are made of, by the helper's names for them.

    Raises Unreadable.
    """
    root = overlay_root(content)
    return {"/image": root / "image/overlay2", "/overlay2": root / "overlay2"}


def content_folders(root: Path) -> Sequence[Path]:
    """Return where the blobs of an engine's containerd may be: its own, or the one next to it."""
    places = (root / "containerd/daemon", root.parent / "containerd", *CONTAINERDS)
    return [place / "io.containerd.content.v1.content/blobs" for place in dict.fromkeys(places)]


def overlay_root(content: Mapping[str, Any]) -> Path:
    """Return the folder of an engine with overlay2, from its description of an image.

    Raises Unreadable for any other.
    """
    driver = content.get("GraphDriver") or {}
    upper = str((driver.get("Data") or {}).get("UpperDir") or "")
    if content.get("Descriptor") or driver.get("Name") != "overlay2" or not upper:
        raise Unreadable(f"the engine keeps its layers by {driver.get('Name') or 'an unknown driver'}")
    folder = Path(upper).parent.parent.parent
    if re.fullmatch(r"\d+\.\d+", folder.name):
        raise Unreadable("the engine maps users", details=str(folder))
    return folder


def _content_folder(root: Path, image: Descriptor) -> Path:
    """Return the folder with the blobs of the containerd that has an image."""
    for folder in content_folders(root):
        if (folder / _path(image.digest)).exists():
            return folder
    raise Unreadable("the blobs of the engine's containerd cannot be read by this user", details=str(root))


def descriptor(content: Mapping[str, Any]) -> Descriptor:
    """Return the manifest or index of an image in containerd."""
    found = content["Descriptor"]
    return Descriptor(str(found.get("mediaType")), str(content["Id"]), int(found.get("size") or 0))


def _document(path: Path, digest: str) -> bytes:
    """Return a small file whose name is its digest."""
    data = _bytes(path)
    if digests.of(data) != digest:
        raise Unreadable("a document in the engine's folder is damaged", details=str(path))
    return data


def _text(path: Path) -> str:
    return _bytes(path).decode("ascii", errors="replace").strip()


def _bytes(path: Path) -> bytes:
    with _opened(path) as file:
        data = file.read(LARGEST_DOCUMENT + 1)
    if len(data) > LARGEST_DOCUMENT:
        raise Unreadable("a document in the engine's folder is too large", details=str(path))
    return data


def _opened(path: Path) -> BinaryIO:
    """Open a regular file of the engine's, which must not be a link."""
    try:
        file = os.open(path, tar_split.FILE)
    except OSError as error:
        raise Unreadable("the engine's folder cannot be read", details=str(error)) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise Unreadable("a file in the engine's folder is none", details=str(path))
    return os.fdopen(file, "rb")


def _path(digest: str) -> str:
    """Return `sha256/<hex>`, for a digest that is one."""
    if not digests.is_digest(digest):
        raise Unreadable(f"{digest!r} is not a digest")
    return digest.replace(":", "/", 1)
