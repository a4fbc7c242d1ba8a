"""Images in an OCI layout (OCI image-spec, image-layout.md), in a folder or a tar, and exported to a new folder."""

import contextlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sandbox.config import json_text
from sandbox.errors import SandboxError
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci import reference as references
from sandbox.oci.client import Client, InRegistry
from sandbox.oci.digest import CHUNK
from sandbox.oci.image import Image, MissingBlob, walk
from sandbox.oci.manifest import CONTAINERD_NAME, OCI_INDEX, REF_NAME, Descriptor, Document, Index
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import Target

LARGEST_DOCUMENT = 8 << 20
SHORTEST_ID = 12  # digits, as Docker shows them
AGAIN = "write it again with the tool that made it"
_T = TypeVar("_T")


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
    content = manifests.parse(Document(OCI_INDEX, manifests.canonical(index)))
    choices = []
    for child in content.manifests if isinstance(content, Index) else ():
        names = [text for key in (CONTAINERD_NAME, REF_NAME) if (text := child.annotations.get(key))]
        choices.append((names or [str(child)], child.digest, child))
    return choose(choices, name, where)


def choose(choices: Sequence[tuple[Sequence[str], str, _T]], name: str | None, where: str) -> _T:
    """Return the image called `name`, or the only one, of `choices`: names, digest and value of each.

    A name is a full one, the text of an annotation, or a digest, which may be short. Raises BadImage naming the
    possible choices.
    """
    if not choices:
        raise BadImage(f"{where} holds no image", details="its table of images is empty", fix=AGAIN)
    images: dict[str, _T] = {}
    for names, digest, image in choices:
        if name is None or name in names or _is_short_for(name, digest) or any(_same(text, name) for text in names):
            images.setdefault(digest, image)
    if len(images) == 1:
        return next(iter(images.values()))
    brief = f"{where} has no image {name}" if name else f"{where} holds {len(choices)} images"
    existing = sorted({name for names, digest, _ in choices for name in names[:1] or [digest]})
    raise BadImage(brief, details=f"there: {', '.join(existing)}", fix="say which one with `image:`")


def _is_short_for(name: str, digest: str) -> bool:
    digits = name.removeprefix("sha256:")
    return len(digits) >= SHORTEST_ID and digest.removeprefix("sha256:").startswith(digits)


def _same(name: str, other: str) -> bool:
    """Tell whether two names mean the same image: `busybox` is `docker.io/library/busybox:latest`."""
    parsed = [reference.with_default_tag() for text in (name, other) if (reference := references.of_text(text))]
    return len(parsed) == 2 and parsed[0] == parsed[1]


def write_layout(client: Client, targets: Sequence[Target], folder: Path) -> Mapping[Target, str]:
    """Write the images `targets` to the layout `folder`, each blob once and under their names; return their digests."""

    def document(repository: str, name: str) -> Document:
        document = client.manifest(repository, name)
        if document is None:
            brief = f"{client.url} has no {repository}:{name}"
            raise SandboxError(brief, fix="push it first: sandbox push-images", id="no-image")
        return document

    def child(repository: str, descriptor: Descriptor) -> Document:
        return document(repository, descriptor.digest)

    def path(digest: str) -> Path:
        path = folder / "blobs" / digest.replace(":", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    roots = {target: document(target.repository, target.tag or str(target.digest)) for target in targets}
    sources: dict[Descriptor, str] = {}
    for target, root in roots.items():
        image = walk(root, partial(child, target.repository), InRegistry(client, target.repository))
        for written in image.documents:
            path(written.digest).write_bytes(written.data)
        for blob in image.blobs:
            sources.setdefault(blob, target.repository)
    for blob, repository in sources.items():
        with client.blob(repository, blob.digest) as chunks, path(blob.digest).open("wb") as file:
            for chunk in digests.verified(chunks, blob.digest, blob.size):
                file.write(chunk)
    manifests = [
        {**root.descriptor.as_json(), "annotations": {REF_NAME: str(target)}} for target, root in roots.items()
    ]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    folder.joinpath("index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    folder.joinpath("oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n', encoding="utf-8")
    return {target: root.digest for target, root in roots.items()}
