"""Images in a tar file on disk: of `docker save`, in any version, and OCI archives."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.config import json_text
from sandbox.errors import SandboxError
from sandbox.images.sources.archive_members import Members
from sandbox.images.sources.layout import Blobs, incomplete, is_short_for, read_index, same, select, tree_of
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.digest import Measured
from sandbox.oci.image import Image, Tree
from sandbox.oci.manifest import INDEXES, OCI_CONFIG, OCI_LAYER, Descriptor
from sandbox.oci.oci_errors import BadImage
from sandbox.system.tar_members import ZSTD

_MAGIC = {b"\x1f\x8b": "+gzip", ZSTD: "+zstd"}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIX = "write the archive again: docker save -o FILE IMAGE"


@dataclass(frozen=True)
class Archive:
    """The archive at `path`, and the image `name` in it; without a name it must hold exactly one.

    A compressed one is unpacked into a file that lasts as long as `stack`.
    """

    path: Path
    name: str | None
    stack: contextlib.ExitStack

    def image(self) -> Image:
        """Read it. Raises SandboxError when it is no image archive, MissingBlob when it is not complete.

        Uncompressed layers of `docker save` get our own manifest, so that one image has one digest whatever version
        of Docker saved it; everything else keeps the manifest that the archive has, or the index: the table of
        `docker save` has one platform of it only.
        """
        members = Members.of(self.path, self.stack)
        saved, index = members.document("manifest.json"), read_index(members)
        root = self._root(index, needed=saved is None) if index is not None else None
        entry = self._chosen(_list(saved), root) if saved is not None else None
        image: Image | None = None
        if entry is not None and not (root and root.media_type in INDEXES):
            image = self._saved(members, entry)
        if root is not None and (
            image is None or any(blob.media_type.startswith(f"{OCI_LAYER}+") for blob in image.blobs)
        ):
            image = tree_of(members, root).image(Blobs(members))
        if image is None:
            raise BadImage(f"{self.path} is not an image archive", details="no manifest.json, no index.json", fix=_FIX)
        return image

    def _saved(self, members: Members, entry: Mapping[str, Any]) -> Image:
        config = members.document(entry["Config"])
        if config is None:
            raise incomplete(members, entry["Config"])
        described = Descriptor(OCI_CONFIG, digests.of(config), len(config))
        places, layers = {described.digest: str(entry["Config"])}, []
        names, diff_ids = entry["Layers"] or (), manifests.diff_ids(config)  # Go writes null for no layers
        if len(names) != len(diff_ids):
            raise incomplete(members, f"{len(diff_ids) - len(names)} of {len(diff_ids)} layers in manifest.json")
        for name, diff_id in zip(names, diff_ids, strict=True):
            if name not in members:
                raise incomplete(members, name)
            layer = _layer(members, name, diff_id)
            places[layer.digest] = name
            layers.append(layer)
        return Tree.of(described, layers).image(Blobs(members, places))

    def _root(self, index: Mapping[str, Any], *, needed: bool) -> Descriptor | None:
        """Return what index.json has for the name, None where the other table may say more."""
        try:
            return select(index, self.name, str(self.path))
        except SandboxError:
            if needed:
                raise
            return None

    def _chosen(self, entries: list[dict[str, Any]], root: Descriptor | None) -> dict[str, Any] | None:
        """Return the image of the name, None where only index.json has it, as `root`."""
        if not entries:
            raise BadImage(f"{self.path} holds no image", details="its manifest.json is empty", fix=_FIX)
        if self.name is None and len(entries) == 1:
            return entries[0]
        names = [name for entry in entries for name in entry.get("RepoTags") or [f"sha256:{_id(entry)}"]]
        for entry in entries:
            if self.name is not None and _goes_by(entry, self.name):
                return entry
        if root is not None:
            return None
        brief = f"{self.path} has no image {self.name}" if self.name else f"{self.path} holds {len(entries)} images"
        raise BadImage(brief, details=f"there: {', '.join(names)}", fix="say which one with `image:`")


def _id(entry: Mapping[str, Any]) -> str:
    """Return the digest of an image's configuration, by which Docker's classic store names images without a tag."""
    found = _DIGEST.search(entry["Config"])
    return found[0] if found else ""


def _goes_by(entry: Mapping[str, Any], name: str) -> bool:
    return any(same(tag, name) for tag in entry.get("RepoTags") or ()) or is_short_for(name, _id(entry))


def _layer(members: Members, name: str, diff_id: str) -> Descriptor:
    """Describe a raw layer, whose digest is its diff id (the upload checks it), or measure a compressed one."""
    head = next(members.chunks(name), b"")
    suffix = next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), "")
    if not suffix:
        return Descriptor(OCI_LAYER, diff_id, members.size(name))
    measured = Measured(members.chunks(name))
    for _ in measured:
        pass
    return Descriptor(OCI_LAYER + suffix, measured.digest, members.size(name))


def _list(saved: bytes) -> list[dict[str, Any]]:
    try:
        entries = json_text.document(saved)
        for entry in entries:
            posixpath.join(entry["Config"], *(entry["Layers"] or ()), *(entry.get("RepoTags") or ()))
        return list(entries)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadImage("manifest.json of an image archive is not valid", details=repr(error), fix=_FIX) from error
