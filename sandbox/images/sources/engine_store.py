"""Images in the folders of a Docker Engine, where a layer costs only its own bytes, no save.

Every blob is named by a digest that is compared before a registry keeps it. So it does not matter whose folders they
are, or what changes meanwhile: for bytes that do not match, the engine is asked for a `save`.
"""

import contextlib
import io
import logging
import os
import stat
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.images.sources.image_source import Files, Inspected, Opening, Unreadable
from sandbox.images.sources.tar_split import TarSplit
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.digest import CHUNK
from sandbox.oci.image import Image, walk
from sandbox.oci.manifest import OCI_CONFIG, OCI_LAYER, Descriptor, Document

LARGEST = 256 << 20  # bytes of a document
# Of the system, and of Docker Desktop's virtual machine.
CONTAINERDS = (Path("/var/lib/containerd"), Path("/var/lib/desktop-containerd/daemon"))
SPLIT = "tar-split.json.gz"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO in the place of a file must not block this process, nor a terminal become its own.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

SizeOf = Callable[[str], int | None]
OpenFolder = Callable[[Path, Sequence[Path]], Files]
log = logging.getLogger(__name__)


def read_images(
    wanted: Sequence[Inspected],
    root: Callable[[], Path],
    size_of: SizeOf,
    container: Opening | None,
    stack: ExitStack,
) -> dict[str, Image]:
    """Return the images that can be read, by their names.

    `size_of` returns the size of a blob that need not be read. A `container` opens what this process may not read.
    """

    def open_folder(folder: Path, mounts: Sequence[Path]) -> Files:
        if _is_readable(folder):
            return OpenedFiles()
        if container is None:
            raise Unreadable("this user may not read the engine's folder", details=str(folder))
        return stack.enter_context(container(mounts))

    with _logged():
        if wanted[0].is_document:  # an engine keeps all its images in one kind of store
            return _containerd_images(wanted, root(), size_of, open_folder)
        return _overlay_images(wanted, size_of, open_folder)
    return {}


def _is_readable(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK)


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except SandboxError as error:
        log.info("images are not read from the engine's folder: %s", error)


def _overlay_images(wanted: Sequence[Inspected], size_of: SizeOf, open_folder: OpenFolder) -> dict[str, Image]:
    driver = wanted[0].content.get("GraphDriver") or {}
    upper = str((driver.get("Data") or {}).get("UpperDir") or "")
    if driver.get("Name") != "overlay2" or not upper:
        raise Unreadable(f"the engine keeps its layers by {driver.get('Name') or 'an unknown driver'}")
    root = Path(upper).parent.parent.parent
    configs = {image.id: f"image/overlay2/imagedb/content/{_path(image.id)}" for image in wanted}
    layers = {digest: places for image in wanted for digest, places in _layers(image).items()}
    missing = {digest: places for digest, places in layers.items() if size_of(digest) is None}
    headers = {digest: f"{records}/{SPLIT}" for digest, (records, _) in missing.items()}
    mounts = [*(root / name for name in configs.values()), *(root / records for records, _ in missing.values())]
    files = open_folder(root / "image", [*mounts, *(folder for _, folder in missing.values())])
    # All at once: each request to a container takes milliseconds.
    names = configs | headers
    sizes = {name: size for name, size in files.sizes(root, list(names.values())).items() if size <= LARGEST}
    with files.read(root, [name.encode() for name in sizes], list(sizes.values())) as chunks:
        data = io.BytesIO(b"".join(chunks))
    read = {name: data.read(size) for name, size in sizes.items()}
    documents = {digest: read[name] for digest, name in names.items() if name in read}
    store = _OverlayStore(files, {digest: folder for digest, (_, folder) in missing.items()}, size_of, documents)
    images = {}
    for image in wanted:
        with _logged():
            images[image.name] = store.image(image)
    return images


def _layers(image: Inspected) -> dict[str, tuple[str, Path]]:
    # By digests, the lowest layer first: where its record and its files are (moby, daemon/internal/layer/filestore.go).
    data, chains = image.content["GraphDriver"]["Data"], manifests.chains(image.diff_ids)
    lower = str(data.get("LowerDir") or "").split(":")
    folders = [Path(folder) for folder in (*reversed(lower), str(data["UpperDir"])) if folder]
    if len(folders) != len(chains):
        raise Unreadable("the engine has another number of folders than of layers", details=image.id)
    return {
        digest: (f"image/overlay2/layerdb/{_path(chain)}", folder)
        for (chain, digest), folder in zip(chains.items(), folders, strict=True)
    }


@dataclass(frozen=True)
class _OverlayStore:
    """The classic store with the driver overlay2, and the Origin of its images."""

    files: Files
    folders: Mapping[str, Path]  # of the layers to read, by their digests
    size_of: SizeOf
    documents: Mapping[str, bytes]  # configurations, and the headers of these layers
    splits: dict[str, TarSplit] = field(default_factory=dict)

    def image(self, image: Inspected) -> Image:
        config = self._document(image.id)
        if digests.of(config) != image.id:
            raise Unreadable("a configuration in the engine's folder is damaged", details=image.id)
        layers = [Descriptor(OCI_LAYER, digest, self._size(digest)) for digest in image.diff_ids]
        return Image.of(Descriptor(OCI_CONFIG, image.id, len(config)), layers, self)

    def _size(self, digest: str) -> int:
        if digest not in self.folders:
            return self.size_of(digest) or 0
        if digest not in self.splits:
            self.splits[digest] = TarSplit.of(self._document(digest))
        return self.splits[digest].size

    def _document(self, digest: str) -> bytes:
        if digest not in self.documents:
            raise Unreadable("a file in the engine's folder is missing", details=f"the record of {digest}")
        return self.documents[digest]

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        if split := self.splits.get(blob.digest):
            with self.files.read(self.folders[blob.digest], split.names, split.sizes) as contents:
                yield split.tar(contents)
        else:
            yield iter([self._document(blob.digest)])


def _containerd_images(
    wanted: Sequence[Inspected], root: Path, size_of: SizeOf, open_folder: OpenFolder
) -> dict[str, Image]:
    images: dict[str, Image] = {}
    places = dict.fromkeys((root / "containerd/daemon", root.parent / "containerd", *CONTAINERDS))
    folders = [place / "io.containerd.content.v1.content/blobs" for place in places]
    for folder in [folder for folder in folders if _is_readable(folder)] or folders:
        with _logged():
            store = _ContainerdStore(open_folder(folder, [folder]), folder)
            for inspected in wanted:
                if inspected.name not in images and (image := store.image(inspected, size_of)):
                    images[inspected.name] = image
        if len(images) == len(wanted):
            break
    return images


@dataclass(frozen=True)
class _ContainerdStore:
    """The blobs of a containerd, as they were pulled or built (plugins/content/local), and the Origin of its images."""

    files: Files
    folder: Path

    def image(self, inspected: Inspected, size_of: SizeOf) -> Image | None:
        described, identity = inspected.content["Descriptor"], inspected.id
        document = self._read(Descriptor(str(described.get("mediaType")), identity, int(described.get("size") or 0)))
        if document is None:
            return None
        with _logged():
            image = walk(document, self._read, self, name=identity)
            missing = {_path(blob.digest): blob.size for blob in image.blobs if size_of(blob.digest) is None}
            if not missing or self.files.sizes(self.folder, list(missing)) == missing:
                return image
            raise Unreadable("a blob in the engine's folder is not complete", details=identity)
        return None

    def open(self, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        return self.files.read(self.folder, [_path(blob.digest).encode()], [blob.size])

    def _read(self, child: Descriptor) -> Document | None:
        name = _path(child.digest)
        size = self.files.sizes(self.folder, [name]).get(name)
        if size is None:
            return None
        with self.files.read(self.folder, [name.encode()], [size]) as chunks:
            data = b"".join(chunks) if size <= LARGEST else b""
        if digests.of(data) != child.digest:
            raise Unreadable("a manifest in the engine's folder is damaged", details=child.digest)
        return manifests.document(data, child.media_type)


def _path(digest: str) -> str:
    if not digests.is_digest(digest):
        raise Unreadable(f"{digest!r} is not a digest")
    return digest.replace(":", "/", 1)


class OpenedFiles:
    def sizes(self, folder: Path, names: Sequence[str]) -> Mapping[str, int]:
        sizes = {}
        for name in names:
            with contextlib.suppress(OSError):
                status = (folder / name).lstat()
                if stat.S_ISREG(status.st_mode):
                    sizes[name] = status.st_size
        return sizes

    def read(
        self, folder: Path, names: Sequence[bytes], sizes: Sequence[int]
    ) -> AbstractContextManager[Iterator[bytes]]:
        return contextlib.closing(_contents(folder, names, sizes))


def _contents(root: Path, names: Sequence[bytes], sizes: Sequence[int]) -> Generator[bytes]:
    for name, size in zip(names, sizes, strict=True):
        left = size
        try:
            with open(_opened(root, name), "rb", buffering=0) as file:
                while left and (piece := file.read(min(left, CHUNK))):
                    left -= len(piece)
                    yield piece
        except OSError as error:
            brief = f"{os.fsdecode(name)} in the engine's folder cannot be read"
            raise Unreadable(brief, details=str(error)) from error
        if left:
            raise Unreadable("a file in the engine's folder is too short", details=repr(name))


def _opened(root: Path, name: bytes) -> int:
    """Open a file below `root`; a link on the way, even of a folder, is an error."""
    *folders, base = name.split(b"/")
    with contextlib.ExitStack() as stack:
        folder = os.open(root, _FOLDER)
        stack.callback(os.close, folder)
        for part in folders:
            folder = os.open(part, _FOLDER, dir_fd=folder)
            stack.callback(os.close, folder)
        file = os.open(base, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError("it is not a file")
    return file
