"""An image as the push needs it: every document in hand, every blob named, and a way to open the blobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from sandbox.errors import SandboxError
from sandbox.oci.manifest import Descriptor, Document, Index, parse, reduced
from sandbox.oci.oci_errors import BadImage

DEEPEST = 4
MOST = 1000  # manifests below an index; each is kept in memory


class Origin(Protocol):
    """Where the bytes of an image's blobs can be read, more than once and by several threads."""

    def open(self, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """Return the bytes of `blob` in chunks; they need not be checked. Raises SandboxError."""


class MissingBlob(SandboxError):
    """Something an image names is not where the image is."""

    id = "incomplete-image"


@dataclass(frozen=True)
class Image:
    """A complete image.

    `documents` come in the order in which a registry accepts them: children first, the one that gets the tag last.
    `blobs` are its configurations and layers, each once. `notes` are things the user should know. `source` is the
    digest of what the image was called at its source, where that is not its own: an index that was reduced.
    """

    documents: tuple[Document, ...]
    blobs: tuple[Descriptor, ...]
    origin: Origin
    notes: tuple[str, ...] = ()
    source: str | None = None

    @property
    def root(self) -> Document:
        return self.documents[-1]


@dataclass(frozen=True)
class Tree:
    """The documents below and including a root, children first, and the blobs they name."""

    documents: tuple[Document, ...]
    blobs: tuple[Descriptor, ...]
    notes: tuple[str, ...] = ()

    def image(self, origin: Origin) -> Image:
        return Image(self.documents, self.blobs, origin, self.notes)


def walk(root: Document, read: Callable[[Descriptor], Document | None], *, name: str = "", deep: int = 0) -> Tree:
    """Follow `root` down to its blobs; `read` gives a child document, or None when it is not there.

    `name` is what the image is called in errors.

    An index may lack platforms, as when an engine has fetched one of several: what is there is kept, under an index
    reduced to it, or without an index when it is a single image. Raises MissingBlob when no platform is there, and
    BadImage for an index that lists nothing at all.
    """
    if deep > DEEPEST:
        raise BadImage(f"{root.digest} nests indexes more than {DEEPEST} deep", fix="build the image again")
    content = parse(root)
    if not isinstance(content, Index):
        blobs = dict.fromkeys((content.config, *(layer for layer in content.layers if not layer.is_foreign)))
        notes = tuple(
            f"not copied, for it is fetched from elsewhere: {one}" for one in content.layers if one.is_foreign
        )
        return Tree((root,), tuple(blobs), notes)
    if not content.manifests:
        raise BadImage(
            f"{name or root.digest} holds no image",
            details=f"the index {root.digest} lists no manifests",
            fix="build or copy the image again with the tool that made it",
        )
    if len(content.manifests) > MOST:
        raise BadImage(f"{name or root.digest} lists more than {MOST} manifests", fix="name one of them by its digest")
    # One that is listed often is read once, or indexes that list each other often would take for ever.
    listed = {child.digest: child for child in content.manifests}.values()
    found = [(child, document) for child in listed if (document := read(child)) is not None]
    trees = {child.digest: walk(document, read, name=name, deep=deep + 1) for child, document in found}
    missing = [child for child in content.manifests if child.digest not in trees]
    if not missing:
        return _joined(root, list(trees.values()))
    images = [child for child, _ in found if not child.is_attestation]
    lost = [child.platform or child.digest for child in missing if not child.is_attestation]
    notes = (f"left out, because its source lacks them: {', '.join(lost)}",) if lost else ()
    if not images:
        first = missing[0] if missing else root.descriptor
        raise MissingBlob(f"none of the platforms of {root.digest} is there", details=f"missing: {first.digest}")
    if len(images) == 1:
        only = trees[images[0].digest]
        return Tree(only.documents, only.blobs, only.notes + notes)
    joined = _joined(reduced(root, frozenset(trees)), list(trees.values()))
    return Tree(joined.documents, joined.blobs, joined.notes + notes)


def _joined(root: Document, trees: list[Tree]) -> Tree:
    documents = dict.fromkeys(document for tree in trees for document in tree.documents)
    blobs = dict.fromkeys(blob for tree in trees for blob in tree.blobs)
    return Tree((*documents, root), tuple(blobs), tuple(note for tree in trees for note in tree.notes))
