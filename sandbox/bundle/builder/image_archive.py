"""Writes images without an engine: deterministic layers, archives, and the image of a component.

The same files give the same bytes on every machine and at any time.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from sandbox.bundle.builder import debian
from sandbox.bundle.recipe import Image, Recipe, native, recipes
from sandbox.bundle.store import Store
from sandbox.oci import digest as digests
from sandbox.oci.manifest import (
    CONTAINERD_NAME,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    REF_NAME,
    Descriptor,
    canonical,
    image_manifest,
)
from sandbox.system import files

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LABEL = "dev.sandbox.component"
MERGED = ("bin", "sbin", "lib", "lib64")


def build_image(recipe: Recipe, image: Image, store: Store, folder: Path) -> None:
    content = folder / "layer.tar"
    write_layer(_entries(recipe, image, store, folder), content)
    config: dict[str, Any] = {"Env": [PATH], "Labels": {LABEL: recipe.name}}
    config |= {"Entrypoint": list(image.entrypoint)} if image.entrypoint else {}
    config |= {"Cmd": list(image.command)} if image.command else {}
    write_archive(folder / "image.tar", layer=content, names=[recipe.reference, *image.names], config=config)


def _entries(recipe: Recipe, image: Image, store: Store, folder: Path) -> Iterator[Entry]:
    for path, program in image.programs.items():
        yield Entry(name=_name(path), source=folder / "bin" / program, executable=True)
    for path, file in image.files.items():
        yield Entry(name=_name(path), source=recipe.folder / file)
    for path, target in image.links.items():
        yield Entry(name=_name(path), target=target)
    for path in image.folders:
        yield Entry(name=_name(path))
    if image.tree is not None:
        for merged in MERGED:
            yield Entry(name=PurePosixPath(merged), target=f"usr/{merged}")
            yield Entry(name=PurePosixPath("usr") / merged)
        root = store.tree(recipes()[image.tree])
        for source in debian.closure(root, image.copies):
            yield Entry(name=PurePosixPath(source.relative_to(root)), source=source)


def _name(path: str) -> PurePosixPath:
    name = PurePosixPath(path).relative_to("/")
    return PurePosixPath("usr") / name if name.parts[0] in MERGED else name


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One name in a layer: a copy of the file or link `source`, a symbolic link to `target`, or a folder."""

    name: PurePosixPath
    source: Path | None = None
    target: str | None = None
    executable: bool = False


def write_layer(entries: Iterable[Entry], into: Path) -> None:
    """Write entries and their parent folders as a layer, all owned by root."""
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as tar:
        seen: set[PurePosixPath] = set()
        for entry in sorted(entries, key=lambda e: e.name.parts):
            for parent in [*reversed(entry.name.parents[:-1]), entry.name]:
                if parent not in seen:
                    seen.add(parent)
                    _add_entry(tar, entry if parent == entry.name else Entry(name=parent))


def write_tree(root: Path, into: Path, *, empty: Iterable[str]) -> None:
    """Write the folder `root` as a layer with owners, modes and hard links, but not what the folders `empty` hold."""
    emptied = tuple(f"./{name}/" for name in empty)

    def normalized(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if info.name.startswith(emptied) or (info.type == tarfile.CHRTYPE and info.name.startswith("./dev")):
            return None
        info.mtime = 0
        info.uname = info.gname = ""
        return info

    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(root, arcname=".", filter=normalized)


def _add_entry(tar: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(str(entry.name))
    target = str(entry.source.readlink()) if entry.source and entry.source.is_symlink() else entry.target
    if target is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
        tar.addfile(info)
    elif entry.source is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o1777 if entry.name.name == "tmp" else 0o755
        tar.addfile(info)
    else:
        status = entry.source.stat()
        info.size = status.st_size
        info.mode = 0o755 if entry.executable else status.st_mode & 0o755
        with entry.source.open("rb") as data:
            tar.addfile(info, data)


def write_archive(into: Path, *, layer: Path, names: Sequence[str], config: Mapping[str, Any]) -> None:
    """Write the image with one layer to the file `into`, and delete the file `layer`, an uncompressed tar.

    `docker load` of every version, containerd and OCI tools read the file: it is an OCI image layout (image-spec,
    image-layout.md) that has Docker's manifest.json too.
    """
    diff_id = f"sha256:{files.sha256(layer)}"
    image = canonical(
        {
            "architecture": native().name,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created_by": "sandbox bundle build"}],
        }
    )
    described = Descriptor(OCI_CONFIG, digests.of(image), len(image))
    manifest = image_manifest(described, (Descriptor(OCI_LAYER, diff_id, layer.stat().st_size),))
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {**manifest.descriptor.as_json(), "annotations": {CONTAINERD_NAME: name, REF_NAME: name}} for name in names
        ],
    }
    docker = [{"Config": _path(described.digest), "RepoTags": list(names), "Layers": [_path(diff_id)]}]
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "oci-layout", canonical({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", canonical(index))
        _add(tar, "manifest.json", canonical(docker))
        _add(tar, _path(described.digest), image)
        _add(tar, _path(manifest.digest), manifest.data)
        info = tarfile.TarInfo(_path(diff_id))
        info.size = layer.stat().st_size
        with layer.open("rb") as data:
            tar.addfile(info, data)
    layer.unlink()


def copy_with_label(archive: Path, into: Path, label: Mapping[str, str]) -> None:
    """Copy an archive of `write_archive`; the label gives the copy another image id.

    The kubelet notes by image id which images were pulled (KEP-2535). A node's own images must not share an id with one
    that a pod pulls by another name, or the kubelet would try to pull ours again, which no registry has.
    """
    layer = into.with_suffix(".layer")
    with tarfile.open(archive) as tar:

        def member(name: str) -> IO[bytes]:
            return cast("IO[bytes]", tar.extractfile(name))  # `write_archive` writes only files

        (described,) = json.load(member("manifest.json"))
        image = json.load(member(described["Config"]))
        (content,) = described["Layers"]
        with layer.open("wb") as data:
            shutil.copyfileobj(member(content), data)
    config = {**image["config"], "Labels": {**image["config"]["Labels"], **label}}
    write_archive(into, layer=layer, names=described["RepoTags"], config=config)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
