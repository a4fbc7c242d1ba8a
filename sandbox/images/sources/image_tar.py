"""Images in a tar file on disk: of `docker save`, in any version, and OCI archives; gzip and zstd are unpacked."""

from __future__ import annotations

import contextlib
import gzip
import posixpath
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import zstandard

from sandbox.config import json_text
from sandbox.images.sources.layout import LARGEST_DOCUMENT, Blobs, choose, image_in, incomplete, read_index, select
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.digest import CHUNK, Measured
from sandbox.oci.image import Image
from sandbox.oci.manifest import INDEXES, OCI_CONFIG, OCI_LAYER, Descriptor
from sandbox.oci.oci_errors import BadImage
from sandbox.system import files, tar_members
from sandbox.system.tar_members import ZSTD, LimitedMember

# Larger unpacked content than this factor of the file is an attack; gzip itself ends at 1032.
MAX_RATIO = 1100
ROOM = 1 << 20
MAX_LINKS = 16
# What reading raises for a file that is incomplete or not packed correctly.
BROKEN = (OSError, zlib.error, zstandard.ZstdError, *tar_members.BROKEN)
_OPENERS: Mapping[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    # Before 3.14 Python's own modules do not know zstd.
    ZSTD: lambda path: zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True),
}
_SUFFIXES = {b"\x1f\x8b": "+gzip", ZSTD: "+zstd"}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIX = "write the archive again: docker save -o FILE IMAGE"


def unnamed_file(folder: Path | None, stack: contextlib.ExitStack) -> IO[bytes]:
    """Return a new file in `folder`, else where the system has temporary files, open as long as `stack`."""
    if folder:
        files.make_private_dir(folder)
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed with the stack

    def close() -> None:
        with contextlib.suppress(OSError):  # of a full disk, which was reported
            file.close()

    stack.callback(close)
    return file


@dataclass(frozen=True)
class Members:
    """The regular files of the archive at `path`, whose tar is in `file`: the first byte and the size of each."""

    path: Path
    file: Path
    places: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, path: Path, stack: contextlib.ExitStack) -> Members:
        """Read the table of a tar. Raises SandboxError."""
        if path.is_dir():
            raise BadImage(f"{path} is a folder, not an archive", fix="write `from: layout` for an OCI layout")
        files.require_regular(path)  # a pipe would be waited for
        try:
            file = _unpacked(path, stack)
            with tarfile.open(file, "r:", tarinfo=LimitedMember) as tar:
                return cls(path, file, _places(tar, file.stat().st_size))
        except BROKEN as error:
            raise BadImage(
                f"{path} is not a readable tar archive", details=str(error), fix="correct `path:`, or write it again"
            ) from error

    def __contains__(self, name: str) -> bool:
        return name in self.places

    def document(self, name: str) -> bytes | None:
        if name not in self.places:
            return None
        size = self.places[name][1]
        if size > LARGEST_DOCUMENT:
            raise BadImage(f"{name} in {self.path} is too large", details=f"{size} bytes")
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Generator[bytes]:
        start, left = self.places[name]
        try:
            with self.file.open("rb") as file:
                file.seek(start)
                while left and (chunk := file.read(min(left, CHUNK))):
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise BadImage(f"{self.path} cannot be read", details=str(error)) from error
        if left:
            raise BadImage(f"{self.path} ends within {name}", fix="write the archive again")


def _unpacked(path: Path, stack: contextlib.ExitStack) -> Path:
    with path.open("rb") as file:
        head = file.read(len(ZSTD))
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
    if opener is None:
        return path
    unpacked, limit = unnamed_file(None, stack), path.stat().st_size * MAX_RATIO + ROOM
    with contextlib.closing(opener(path)) as packed:
        while chunk := packed.read(CHUNK):
            if unpacked.tell() > limit:
                raise tarfile.ReadError(f"it would be more than {limit} bytes")
            unpacked.write(chunk)
    unpacked.flush()
    return Path(f"/proc/self/fd/{unpacked.fileno()}")


def _places(tar: tarfile.TarFile, end: int) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    links: dict[str, str] = {}
    for member in tar:
        if not 0 <= member.size <= end - member.offset_data:  # below zero, tarfile goes in circles: CVE-2025-8194
            raise tarfile.ReadError(f"{member.name} would be {member.size} bytes")
        name = posixpath.normpath(member.name)
        if member.isfile():
            places[name] = (member.offset_data, member.size)
        elif member.issym() or member.islnk():
            folder = posixpath.dirname(name) if member.issym() else ""
            links[name] = posixpath.normpath(posixpath.join(folder, member.linkname))
    for name, place in links.items():
        for _ in range(MAX_LINKS):
            place = links.get(place, place)
        if place in places:
            places[name] = places[place]
    return places


def archive_image(path: Path, name: str | None, stack: contextlib.ExitStack) -> Image:
    """Return the image `name` of an archive, or its only one. Raises SandboxError, MissingBlob if it is not complete.

    A compressed archive is unpacked into a file that lasts as long as `stack`. Uncompressed layers of `docker save` get
    our own manifest, so that one image has one digest whatever version of Docker saved it; everything else keeps the
    manifest that the archive has, or the index: the table of `docker save` has one platform of it only.
    """
    members = Members.of(path, stack)
    saved, index = members.document("manifest.json"), read_index(members)
    problem = BadImage(f"{path} is not an image archive", details="no manifest.json, no index.json", fix=_FIX)
    root: Descriptor | None = None
    entry: Mapping[str, Any] | None = None
    try:
        root = select(index, name, str(path)) if index is not None else None
    except BadImage as error:
        problem = error
    try:
        entry = choose(_entries(saved), name, str(path)) if saved is not None else None
    except BadImage as error:
        problem = error
    if root is not None and (entry is None or root.media_type in INDEXES):
        return image_in(members, root)
    if entry is None:
        raise problem
    image = _saved_image(members, entry)
    has_packed = any(blob.media_type.startswith(f"{OCI_LAYER}+") for blob in image.blobs)
    return image_in(members, root) if root and has_packed else image


def _entries(saved: bytes) -> Sequence[tuple[list[str], str, Mapping[str, Any]]]:
    entries = []
    try:
        for entry in json_text.document(saved):
            posixpath.join(entry["Config"], *(entry["Layers"] or ()), *(entry.get("RepoTags") or ()))
            # Docker's classic store names images without a tag by the digest of their configuration.
            match = _DIGEST.search(entry["Config"])
            digest = f"sha256:{match[0]}" if match else entry["Config"]
            entries.append((list(entry.get("RepoTags") or ()), digest, dict(entry)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadImage("manifest.json of an image archive is not valid", details=repr(error), fix=_FIX) from error
    return entries


def _saved_image(members: Members, entry: Mapping[str, Any]) -> Image:
    config = members.document(entry["Config"])
    if config is None:
        raise incomplete(members, entry["Config"])
    described = Descriptor(OCI_CONFIG, digests.of(config), len(config))
    places, layers = {described.digest: str(entry["Config"])}, []
    names = entry["Layers"] or ()  # `docker save` writes null for an image without layers
    diff_ids = manifests.diff_ids(config)
    if len(names) != len(diff_ids):
        raise incomplete(members, f"{len(diff_ids) - len(names)} of {len(diff_ids)} layers in manifest.json")
    for name, digest in zip(names, diff_ids, strict=True):
        if name not in members:
            raise incomplete(members, name)
        head = next(members.chunks(name), b"")
        suffix = next((suffix for magic, suffix in _SUFFIXES.items() if head.startswith(magic)), "")
        if suffix:  # a raw layer's digest is its diff id, which the upload checks
            measured = Measured(members.chunks(name))
            for _ in measured:
                pass
            digest = measured.digest
        places[digest] = name
        layers.append(Descriptor(OCI_LAYER + suffix, digest, members.places[name][1]))
    return Image.of(described, layers, Blobs(members, places))
