"""Images in a tar file on disk: of `docker save`, in any version, and OCI archives.

The files in the tar are found by name in any order; links are followed, and a compressed tar is unpacked.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from sandbox.errors import SandboxError
from sandbox.fast_dataclass import dataclass
from sandbox.images.sources.layout import LARGEST_DOCUMENT, is_short_for, same, select, verified
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.digest import CHUNK
from sandbox.oci.image import Image, MissingBlob, Tree, walk
from sandbox.oci.manifest import INDEXES, OCI_CONFIG, OCI_LAYER, Descriptor, Document
from sandbox.oci.oci_errors import BadImage
from sandbox.system import files, tar_members
from sandbox.system.tar_members import LimitedMember

# Larger unpacked content than this factor of the file is an attack; gzip itself ends at 1032.
SWELL = 1100
ROOM = 1 << 20
MOST_MEMBERS = 100_000  # all are kept in memory; an image has some for each layer
_MOST_LINKS = 16


@dataclass(frozen=True)
class _Piece:
    offset: int
    size: int


class _Window:
    """`size` bytes of an open file from `offset` on, as a file; a plain tar needs no tarfile to read a member."""

    def __init__(self, file: IO[bytes], piece: _Piece) -> None:
        file.seek(piece.offset)
        self._file = file
        self._left = piece.size

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, none at the end. Raises EOFError when the tar ends before its member does."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        if len(data) < wanted:
            raise EOFError("the tar is cut short")
        self._left -= len(data)
        return data


@dataclass(frozen=True)
class Members:
    """The regular files of the tar at `path`, each with its place; usable by several threads."""

    path: Path
    pieces: Mapping[str, _Piece]
    compressed: bool

    @classmethod
    def of(cls, path: Path) -> Members:
        """Read the table of a tar, compressed or not. Raises SandboxError."""
        if path.is_dir():
            raise BadImage(f"{path} is a folder, not an archive", fix="write `from: layout` for an OCI layout")
        files.require_regular(path)  # a pipe would be waited for
        try:
            try:
                return cls(path, _pieces(path, "r:"), compressed=False)
            except tarfile.ReadError:
                return cls(path, _pieces(path, "r:*"), compressed=True)
        except _broken() as error:
            raise BadImage(
                f"{path} is not a readable tar archive", details=str(error), fix="correct `path:`, or write it again"
            ) from error

    def __contains__(self, name: str) -> bool:
        return name in self.pieces

    def size(self, name: str) -> int:
        """Return the size of a member in bytes."""
        return self.pieces[name].size

    def document(self, name: str) -> bytes | None:
        """Return the content of a small member, None when there is none of that name."""
        if name not in self.pieces:
            return None
        if self.size(name) > LARGEST_DOCUMENT:
            raise BadImage(f"{name} in {self.path} is too large", details=f"{self.size(name)} bytes")
        with self.open(name) as file:
            return file.read()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Yield a member as a file that can be read from start to end."""
        with contextlib.ExitStack() as stack:
            try:
                file = self._opened(name, stack)
            except _broken() as error:
                raise BadImage(f"{self.path} cannot be read", details=str(error)) from error
            yield file

    def _opened(self, name: str, stack: contextlib.ExitStack) -> IO[bytes]:
        if not self.compressed:
            file = stack.enter_context(self.path.open("rb"))
            return _Window(file, self.pieces[name])  # type: ignore[return-value]  # only read() is used
        tar = tarfile.open(self.path, "r:*", tarinfo=LimitedMember)  # noqa: SIM115  # the stack closes it
        stack.enter_context(tar)
        # By its place: in the tar its name may be another, such as `./index.json`.
        place = self.pieces[name].offset
        member = next((one for one in tar if one.isfile() and one.offset_data == place), None)
        found = tar.extractfile(member) if member else None
        if found is None:
            raise BadImage(f"{name} in {self.path} is not a file")
        return found


def _pieces(path: Path, mode: str) -> dict[str, _Piece]:
    pieces: dict[str, _Piece] = {}
    links: dict[str, str] = {}
    most = path.stat().st_size * SWELL + ROOM
    with tarfile.open(path, mode, tarinfo=LimitedMember) as tar:  # type: ignore[call-overload]
        for number, member in enumerate(tar):
            # One below zero led tarfile in circles: CVE-2025-8194.
            if not 0 <= member.size <= most - member.offset_data:
                raise tarfile.ReadError(f"{member.name} would be {member.size} bytes")
            if number >= MOST_MEMBERS:
                raise tarfile.ReadError(f"more than {MOST_MEMBERS} members")
            name = posixpath.normpath(member.name)
            if member.isfile():
                pieces[name] = _Piece(member.offset_data, member.size)
            elif member.issym():
                links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
            elif member.islnk():
                links[name] = posixpath.normpath(member.linkname)
    for name, place in links.items():
        for _ in range(_MOST_LINKS):
            place = links.get(place, place)
        if place in pieces:
            pieces[name] = pieces[place]
    return pieces


_MAGIC = {b"\x1f\x8b": "+gzip", b"\x28\xb5\x2f\xfd": "+zstd"}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIX = "write the archive again: docker save -o FILE IMAGE"


@dataclass(frozen=True)
class Archive:
    """The archive at `path`, and the image `name` in it; without a name it must hold exactly one."""

    path: Path
    name: str | None = None

    def image(self) -> Image:
        """Read it. Raises SandboxError when it is no image archive, MissingBlob when it is not complete.

        Uncompressed layers of `docker save` get our own manifest, so that one image has one digest whatever version
        of Docker saved it; everything else keeps the manifest that the archive has, or the index: the table of
        `docker save` has one platform of it only.
        """
        members = Members.of(self.path)
        saved, index = members.document("manifest.json"), members.document("index.json")
        root = self._root(index, needed=saved is None) if index is not None else None
        entry = self._chosen(_list(saved), root) if saved is not None else None
        tree: Tree | None = None
        places: dict[str, str] = {}
        if entry is not None and not (root and root.media_type in INDEXES):
            tree, places = self._saved(members, entry)
        if root is not None and (
            tree is None or any(blob.media_type.startswith(f"{OCI_LAYER}+") for blob in tree.blobs)
        ):
            tree, places = self._oci(members, root)
        if tree is None:
            raise BadImage(f"{self.path} is not an image archive", details="no manifest.json, no index.json", fix=_FIX)
        return tree.image(Pieces(members, places))

    def _saved(self, members: Members, entry: Mapping[str, Any]) -> tuple[Tree, dict[str, str]]:
        config = members.document(entry["Config"])
        if config is None:
            raise self._missing(entry["Config"])
        described = Descriptor(OCI_CONFIG, digests.of(config), len(config))
        places, layers = {described.digest: str(entry["Config"])}, []
        names, diff_ids = entry["Layers"] or (), manifests.diff_ids(config)  # Go writes null for no layers
        if len(names) != len(diff_ids):
            raise self._missing(f"{len(diff_ids) - len(names)} of {len(diff_ids)} layers in manifest.json")
        for name, diff_id in zip(names, diff_ids, strict=True):
            if name not in members:
                raise self._missing(name)
            layer = _layer(members, name, diff_id)
            places[layer.digest] = name
            layers.append(layer)
        document = manifests.image_manifest(described, layers)
        return Tree((document,), tuple(dict.fromkeys((described, *layers)))), places

    def _root(self, index: bytes, *, needed: bool) -> Descriptor | None:
        """Return what index.json has for the name, None where the other table may say more."""
        try:
            return select(_object(index), self.name, str(self.path))
        except SandboxError:
            if needed:
                raise
            return None

    def _oci(self, members: Members, root: Descriptor) -> tuple[Tree, dict[str, str]]:
        def read(child: Descriptor) -> Document | None:
            data = members.document(_place(child))
            return None if data is None else verified(child, data, str(self.path))

        document = read(root)
        if document is None:
            raise self._missing(root.digest)
        tree = walk(document, read, name=str(self.path))
        for blob in tree.blobs:
            if _place(blob) not in members:
                raise self._missing(str(blob))
        return tree, {blob.digest: _place(blob) for blob in tree.blobs}

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

    def _missing(self, what: str) -> MissingBlob:
        return MissingBlob(f"the image archive {self.path} is not complete", details=f"missing: {what}", fix=_FIX)


@dataclass(frozen=True)
class Pieces:
    """The Origin of an archive's blobs: `places` maps digests to members."""

    members: Members
    places: Mapping[str, str]

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        """Yield the bytes of a blob's member."""
        with self.members.open(self.places[blob.digest]) as file:
            yield _chunks(file)


def _id(entry: Mapping[str, Any]) -> str:
    """Return the digest of an image's configuration, by which Docker's classic store names images without a tag."""
    found = _DIGEST.search(entry["Config"])
    return found[0] if found else ""


def _goes_by(entry: Mapping[str, Any], name: str) -> bool:
    """Tell whether an image has the `name`: a tag, or its id, which may be short."""
    return any(same(tag, name) for tag in entry.get("RepoTags") or ()) or is_short_for(name, _id(entry))


def _layer(members: Members, name: str, diff_id: str) -> Descriptor:
    """Describe a raw layer, whose digest is its diff id (the upload checks it), or measure a compressed one."""
    with members.open(name) as file:
        head = file.read(4)
        suffix = next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), "")
        if not suffix:
            return Descriptor(OCI_LAYER, diff_id, members.size(name))
        measure = hashlib.sha256(head)
        for chunk in _chunks(file):
            measure.update(chunk)
    return Descriptor(OCI_LAYER + suffix, f"sha256:{measure.hexdigest()}", members.size(name))


def _broken() -> tuple[type[Exception], ...]:
    """Return the exceptions of reading a file that is incomplete or not packed correctly."""
    import lzma

    return (OSError, zlib.error, lzma.LZMAError, *tar_members.BROKEN)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    try:
        while chunk := file.read(CHUNK):
            yield chunk
    except _broken() as error:
        raise BadImage("an image archive cannot be read to its end", details=str(error), fix=_FIX) from error


def _list(saved: bytes) -> list[dict[str, Any]]:
    try:
        entries = json.loads(saved)
        for entry in entries:
            posixpath.join(entry["Config"], *(entry["Layers"] or ()), *(entry.get("RepoTags") or ()))
        return list(entries)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadImage("manifest.json of an image archive is not valid", details=repr(error), fix=_FIX) from error


def _object(index: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(index))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadImage("index.json of an image archive is not valid", details=repr(error), fix=_FIX) from error


def _place(blob: Descriptor) -> str:
    return f"blobs/{blob.digest.replace(':', '/', 1)}"
