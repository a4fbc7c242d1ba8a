"""An image as a push needs it: every document, every blob's descriptor, and a way to open the blobs."""

from __future__ import annotations

import platform as machine
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from sandbox.config import json_text
from sandbox.errors import SandboxError
from sandbox.oci.manifest import Descriptor, Document, Index, image_manifest, parse, platform_name, reduced
from sandbox.oci.oci_errors import BadImage

MAX_DEPTH, MAX_MANIFESTS = 4, 1000  # indexes in indexes, and manifests in one
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_DESCRIBES = "vnd.docker.reference.digest"


class Origin(Protocol):
    def open(self, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """Return the bytes of `blob` in chunks; they need not be verified. Raises SandboxError."""


class MissingBlob(SandboxError):
    id = "incomplete-image"


class MissingPlatform(SandboxError):
    id = "missing-platform"

    def __init__(self, name: str, missing: Sequence[str], existing: Sequence[str]) -> None:
        super().__init__(
            f"{name} does not exist for {', '.join(missing)}",
            details=f"it exists for: {', '.join(dict.fromkeys(existing)) or 'no platform it names'}",
            fix="correct `platforms:`, choose another image, or name it by digest to have all it has",
        )


@dataclass(frozen=True)
class Image:
    """A complete image.

    `documents`: children first, the one that gets the tag last. `blobs`: configurations and layers, each once. `source`
    is the digest of the image at its source, if it differs. `published`: its target's tag names it already.
    """

    documents: tuple[Document, ...]
    blobs: tuple[Descriptor, ...]
    origin: Origin
    notes: tuple[str, ...] = ()
    source: str | None = None
    platforms: tuple[str, ...] = ()
    published: bool = False

    @property
    def root(self) -> Document:
        return self.documents[-1]

    @classmethod
    def of(cls, config: Descriptor, layers: Sequence[Descriptor], origin: Origin, source: str | None = None) -> Image:
        blobs = tuple(dict.fromkeys((config, *layers)))
        return cls((image_manifest(config, layers),), blobs, origin, source=source)


def walk(
    root: Document,
    read: Callable[[Descriptor], Document | None],
    origin: Origin,
    *,
    name: str = "",
    depth: int = 0,
) -> Image:
    """Follow `root` down to its blobs; `read` returns a child document, or None when it is missing.

    An index may lack the manifests of some platforms. Raises MissingBlob if it lacks all, and BadImage.
    """
    content = parse(root)
    if not isinstance(content, Index):
        return Image((root,), tuple(dict.fromkeys((content.config, *content.layers))), origin)
    listed = {child.digest: child for child in content.manifests}
    if depth > MAX_DEPTH or len(listed) > MAX_MANIFESTS:
        brief = f"{name or root.digest} has more than {MAX_MANIFESTS} manifests"
        raise BadImage(brief, fix="name one of them by its digest")
    if not listed:
        raise BadImage(
            f"{name or root.digest} holds no image",
            details=f"the index {root.digest} lists no manifests",
            fix="build or copy the image again with the tool that made it",
        )
    below = {
        digest: walk(document, read, origin, name=name, depth=depth + 1)
        for digest, child in listed.items()
        if (document := read(child))
    }
    missing = [child for child in listed.values() if child.digest not in below]
    children = {digest: image.root.descriptor for digest, image in below.items()}
    images = [digest for digest in below if not listed[digest].is_attestation]
    if missing and not images:
        details = f"missing: {', '.join(child.digest for child in missing)}"
        raise MissingBlob(f"none of the platforms of {root.digest} is there", details=details)
    is_whole = not missing and all(digest == child.digest for digest, child in children.items())
    if len(images) == 1 and not is_whole:
        image = below[images[0]]
    else:
        documents = dict.fromkeys(document for image in below.values() for document in image.documents)
        image = Image(
            documents=(*documents, root if is_whole else reduced(root, children)),
            blobs=tuple(dict.fromkeys(blob for image in below.values() for blob in image.blobs)),
            origin=origin,
            notes=tuple(note for image in below.values() for note in image.notes),
        )
    lost = [child.platform or child.digest for child in missing if not child.is_attestation]
    notes = (f"left out, because its source lacks them: {', '.join(lost)}",) if lost else ()
    return replace(image, notes=image.notes + notes)


def choose(index: Document, platforms: Sequence[str], name: str, read: Callable[[Descriptor], Document]) -> Document:
    """Return an index reduced to `platforms`: itself, a smaller index, or the single image of the one platform.

    Attestations stay with the images they describe. Raises MissingPlatform, naming all that are missing.
    """
    content = parse(index)
    children = content.manifests if isinstance(content, Index) else ()
    images = [child for child in children if not child.is_attestation and child.platform]
    missing = [platform for platform in platforms if not any(fits(str(child.platform), platform) for child in images)]
    if missing:
        raise MissingPlatform(name, missing, [str(child.platform) for child in images])
    kept = [child for child in images if any(fits(str(child.platform), platform) for platform in platforms)]
    if len(kept) == len(platforms) == 1:
        return read(kept[0])
    described = {child.digest for child in kept}
    kept += [child for child in children if child.is_attestation and child.annotations.get(_DESCRIBES) in described]
    by_digest = {child.digest: child for child in kept}
    return index if all(child.digest in by_digest for child in children) else reduced(index, by_digest)


def narrow(image: Image, platforms: Sequence[str], name: str, read: Callable[[Descriptor], bytes]) -> Image:
    """Return `image` without other platforms; `read` fetches a configuration. Raises MissingPlatform, BadImage."""
    content = parse(image.root)
    if not isinstance(content, Index):
        try:
            platform = platform_name(json_text.document(read(content.config)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadImage("an image configuration cannot be read", details=repr(error)) from error
        if missing := [wanted for wanted in platforms if not fits(platform, wanted)]:
            raise MissingPlatform(name, missing, [platform])
        return replace(image, notes=())
    documents = {document.digest: document for document in image.documents}
    root = choose(image.root, platforms, name, lambda child: documents[child.digest])
    if root == image.root:
        return image
    narrowed = walk(root, lambda child: documents.get(child.digest), image.origin)
    return replace(narrowed, source=image.source or image.root.digest)


def host_platform() -> str:
    name = machine.machine().lower()
    return f"linux/{_ARCHITECTURES.get(name, name)}"


def fits(platform: str, wanted: str) -> bool:
    """Return whether an image for `platform` is for the `wanted` one, or for a variant of it."""
    # 32-bit ARM without a variant is v7 (containerd, platforms/database.go); 64-bit ARM has only the variant v8.
    whole = f"{platform}/v7" if platform.endswith("/arm") else platform
    plain, plain_wanted = (text.removesuffix("/v8") if "/arm64/" in text else text for text in (whole, wanted))
    return f"{plain}/".startswith(f"{plain_wanted}/")
