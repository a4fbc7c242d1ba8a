"""An image reduced to the platforms that are wanted, so that nothing crosses which no node of a sandbox can run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from sandbox.errors import SandboxError
from sandbox.oci.image import Image, walk
from sandbox.oci.manifest import Descriptor, Document, Index, parse, reduced
from sandbox.oci.oci_errors import BadImage

_DESCRIBES = "vnd.docker.reference.digest"


class MissingPlatform(SandboxError):
    """An image does not exist for a platform that is wanted."""

    id = "missing-platform"


def choose(index: Document, platforms: Sequence[str], name: str) -> Document | Descriptor:
    """Return what is left of an index: itself, an index of fewer, or the one image of the one platform that is wanted.

    A platform is `os/architecture[/variant]`; without a variant every variant fits. Attestations stay with the images
    they describe. `name` is what the image is called in errors. Raises MissingPlatform, naming all that are missing.
    """
    content = parse(index)
    children = content.manifests if isinstance(content, Index) else ()
    images = [child for child in children if not child.is_attestation and child.platform]
    missing = [one for one in platforms if not any(fits(str(child.platform), one) for child in images)]
    if missing:
        raise _missing(name, missing, [str(child.platform) for child in images])
    kept = [child for child in images if any(fits(str(child.platform), one) for one in platforms)]
    if len(kept) == len(platforms) == 1:
        return kept[0]
    digests = {child.digest for child in kept}
    digests |= {
        child.digest for child in children if child.is_attestation and child.annotations.get(_DESCRIBES) in digests
    }
    return index if all(child.digest in digests for child in children) else reduced(index, frozenset(digests))


def narrow(image: Image, platforms: Sequence[str], name: str, read: Callable[[Descriptor], bytes]) -> Image:
    """`image` with only `platforms`; `read` gives a configuration's bytes. Raises MissingPlatform."""
    content = parse(image.root)
    if not isinstance(content, Index):
        found = platform_of(read(content.config))
        missing = [one for one in platforms if not fits(found, one)]
        if missing:
            raise _missing(name, missing, [found])
        return replace(image, notes=())
    chosen = choose(image.root, platforms, name)
    known = {document.digest: document for document in image.documents}
    root = chosen if isinstance(chosen, Document) else known[chosen.digest]
    if root == image.root:
        return image
    tree = walk(root, lambda child: known.get(child.digest))
    return replace(tree.image(image.origin), source=image.source or image.root.digest)


def fits(platform: str, wanted: str) -> bool:
    """Tell whether what runs on `platform` is what was `wanted`: the same, or one variant of it."""
    return f"{_plain(platform)}/".startswith(f"{_plain(wanted)}/")


def platform_of(config: bytes) -> str:
    """Return the platform in an image's configuration (OCI image-spec, config.md)."""
    try:
        content = json.loads(config)
        return "/".join(content[key] for key in ("os", "architecture", "variant") if content.get(key))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadImage("an image configuration cannot be read", details=repr(error)) from error


def _plain(platform: str) -> str:
    """v8 is the only variant 64-bit ARM images ever name, and many do not."""
    return platform.removesuffix("/v8") if "/arm64/" in platform else platform


def _missing(name: str, missing: Sequence[str], there: Sequence[str]) -> MissingPlatform:
    return MissingPlatform(
        f"{name} does not exist for {', '.join(missing)}",
        details=f"it exists for: {', '.join(dict.fromkeys(there)) or 'no platform it names'}",
        fix="correct `platforms:`, choose another image, or name it by digest to have all it has",
    )
