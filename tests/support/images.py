"""Small images for tests, in every shape a source may have them: OCI layout, `docker save` old and new, an engine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.images.images_yaml import FromDaemon
from sandbox.oci.reference import parse_target

if TYPE_CHECKING:
    from sandbox.engine import Engine
else:
    Engine = object  # a call that the fake does not have must fail

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer(seed: int, size: int = 1000) -> bytes:
    """A layer: a tar with one file of `size` bytes that depend on `seed`."""
    return tar({f"file-{seed}": random.Random(seed).randbytes(size)})  # noqa: S311


def tar(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A tar in the given order, links last."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, place in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, place
            archive.addfile(member)
    return output.getvalue()


@dataclass(frozen=True)
class TestImage:
    """An image by its raw layers; `label` tells apart images with the same layers."""

    __test__ = False

    layers: tuple[bytes, ...]
    label: str = ""
    compressed: bool = False

    @cached_property
    def config(self) -> bytes:
        content = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"name": self.label}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(one) for one in self.layers]},
        }
        return json.dumps(content).encode()

    @cached_property
    def blobs(self) -> tuple[bytes, ...]:
        return tuple(gzip.compress(one, 1, mtime=0) for one in self.layers) if self.compressed else self.layers

    @cached_property
    def manifest(self) -> bytes:
        suffix = "+gzip" if self.compressed else ""
        content = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": digest_of(self.config), "size": len(self.config)},
            "layers": [
                {"mediaType": OCI_LAYER + suffix, "digest": digest_of(one), "size": len(one)} for one in self.blobs
            ],
        }
        return json.dumps(content, indent=1).encode()

    def descriptor(self, **more: Any) -> dict[str, Any]:
        return {"mediaType": OCI_MANIFEST, "digest": digest_of(self.manifest), "size": len(self.manifest), **more}

    def on(self, platform: str) -> dict[str, Any]:
        """The descriptor of the image for a platform such as `linux/arm/v7`."""
        names = ("os", "architecture", "variant")
        return self.descriptor(platform=dict(zip(names, platform.split("/"), strict=False)))

    @property
    def files(self) -> dict[str, bytes]:
        return {digest_of(data): data for data in (*self.blobs, self.config, self.manifest)}


def index(*descriptors: dict[str, Any]) -> bytes:
    """An index, as a blob or as an `index.json`."""
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(descriptors)}).encode()


def descriptor_of(top: bytes) -> dict[str, Any]:
    """The descriptor of an index."""
    return {"mediaType": OCI_INDEX, "digest": digest_of(top), "size": len(top)}


def write_layout(folder: Path, top: bytes, blobs: Mapping[str, bytes]) -> Path:
    """An OCI layout folder with `top` as its index.json."""
    for digest, data in blobs.items():
        path = folder / "blobs" / digest.replace(":", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_bytes(top)
    return folder


def write_index(folder: Path, top: bytes, *images: TestImage) -> Path:
    """An OCI layout folder with the index `top`, listed by its index.json, and these images."""
    blobs = {digest: data for image in images for digest, data in image.files.items()}
    return write_layout(folder, index(descriptor_of(top)), {**blobs, digest_of(top): top})


def old_save(images: Mapping[str, TestImage]) -> bytes:
    """What `docker save` writes before version 25: layers under ids of their own, repeated ones as links."""
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    seen: dict[str, str] = {}
    entries = []
    for name, image in images.items():
        paths: list[str] = []
        for one in image.layers:
            folder = hashlib.sha256(f"{name} {len(paths)}".encode()).hexdigest()
            paths.append(f"{folder}/layer.tar")
            files[f"{folder}/VERSION"] = b"1.0"
            files[f"{folder}/json"] = json.dumps({"id": folder}).encode()
            if digest_of(one) in seen:
                links[paths[-1]] = f"../{seen[digest_of(one)]}"
            else:
                files[paths[-1]] = one
                seen[digest_of(one)] = paths[-1]
        config = f"{digest_of(image.config).partition(':')[2]}.json"
        files[config] = image.config
        entries.append({"Config": config, "RepoTags": [name], "Layers": paths})
    ordered = dict(sorted(files.items())) | {"manifest.json": json.dumps(entries).encode(), "repositories": b"{}"}
    return tar(ordered, links)


def new_save(images: Mapping[str, TestImage], *, without: Sequence[str] = ()) -> bytes:
    """What `docker save` writes from version 25 on: an OCI layout with a manifest.json too; `without` some blobs."""
    blobs: dict[str, bytes] = {}
    entries, descriptors = [], []
    for name, image in images.items():
        blobs |= image.files
        descriptors.append(image.descriptor(annotations={"io.containerd.image.name": f"docker.io/library/{name}"}))
        paths = [place(digest_of(one)) for one in image.blobs]
        entries.append({"Config": place(digest_of(image.config)), "RepoTags": [name], "Layers": paths})
    files = {place(digest): data for digest, data in sorted(blobs.items()) if digest not in without}
    files |= {"index.json": index(*descriptors), "manifest.json": json.dumps(entries).encode(), "oci-layout": b"{}"}
    return tar(files)


def place(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def from_engine(name: str, image: str | None = None) -> FromDaemon:
    """The entry that pushes an engine's image, by default the one with the same name, as `name`."""
    return FromDaemon(parse_target(name), image or name)


@dataclass
class FakeEngine(Engine):
    """A Docker Engine with images by name. `old` saves in the layout before version 25; `containerd` ids are manifests.

    `saved` counts the bytes it has streamed; a name it does not know is a failure of the test.
    """

    images: Mapping[str, TestImage]
    old: bool = False
    containerd: bool = False
    without: Sequence[str] = ()
    saves: list[tuple[str, ...]] = field(default_factory=list)
    built: list[tuple[Path, str]] = field(default_factory=list)
    named: list[tuple[str, str]] = field(default_factory=list)
    is_podman: bool = False

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        if name not in self.images:
            return None
        image = self.images[name]
        top = image.manifest if self.containerd else image.config
        return {"Id": digest_of(top), "RootFS": {"Type": "layers", "Layers": [digest_of(one) for one in image.layers]}}

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        self.saves.append(tuple(names))
        wanted = {name: self.images[name] for name in names}
        data = old_save(wanted) if self.old else new_save(wanted, without=self.without)
        for start in range(0, len(data), 70_000):
            yield data[start : start + 70_000]

    def root(self) -> Path:
        return Path("/nowhere/docker")

    def tag(self, reference: str, name: str) -> None:
        self.named.append((reference, name))
        if reference in self.images:
            self.images = {**self.images, name: self.images[reference]}

    def remove_image(self, name: str) -> bool:
        self.images = {key: image for key, image in self.images.items() if key != name}
        return True

    def build(self, context: Path, tag: str) -> None:
        """Build as `docker build` does for a real engine."""
        self.built.append((context, tag))
        self.images = {**self.images, tag: TestImage((layer(len(tag)),), label=(context / "Dockerfile").read_text())}
