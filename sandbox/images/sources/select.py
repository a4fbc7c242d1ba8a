"""The choice of one image among those an `index.json` lists, by the names tools write next to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.errors import UsageError
from sandbox.oci import manifest as manifests
from sandbox.oci import reference as references
from sandbox.oci.manifest import Descriptor, Document, Index
from sandbox.oci.oci_errors import BadImage

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"


def listed(index: Mapping[str, Any]) -> tuple[Descriptor, ...]:
    """Return the descriptors of an `index.json`. Raises SandboxError."""
    content = manifests.parse(Document(manifests.OCI_INDEX, manifests.canonical(index)))
    return content.manifests if isinstance(content, Index) else ()


def select(index: Mapping[str, Any], name: str | None, where: str) -> Descriptor:
    """Return the descriptor called `name`, or the only one. Raises SandboxError naming what there is to choose from."""
    found = listed(index)
    if not found:
        raise BadImage(
            f"{where} holds no image",
            details="its index.json lists none",
            fix="write it again with the tool that made it",
        )
    fitting = [child for child in found if name is None or goes_by(child, name)]
    distinct = list({child.digest: child for child in fitting}.values())
    if len(distinct) == 1:
        return distinct[0]
    names = sorted({label for child in found if (label := _label(child))})
    there = f"there: {', '.join(names)}" if names else f"there: {len(found)} images without a name"
    if name is None:
        raise BadImage(f"{where} holds {len(found)} images", details=there, fix="say which one with `image:`")
    raise BadImage(f"{where} has no image {name}", details=there, fix="correct `image:`")


def goes_by(child: Descriptor, name: str) -> bool:
    """Tell whether a descriptor carries `name`: its full name, its tag alone, or its digest."""
    labels = {child.annotations.get(REF_NAME), child.annotations.get(CONTAINERD_NAME), child.digest}
    return name in labels or any(label is not None and same(label, name) for label in labels)


def same(one: str, other: str) -> bool:
    """Tell whether two names mean the same image: `busybox` is `docker.io/library/busybox:latest`."""
    try:
        return references.parse(one).with_default_tag() == references.parse(other).with_default_tag()
    except UsageError:
        return False


def _label(child: Descriptor) -> str | None:
    return child.annotations.get(CONTAINERD_NAME) or child.annotations.get(REF_NAME)
