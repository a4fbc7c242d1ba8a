"""What the real pushes need: registry servers, the engine's images, and another client that reads them back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sandbox.bundle.recipe import recipes
from sandbox.engine import Engine
from sandbox.images.sources import engine_store
from sandbox.images.sources.engine_container import ContainerFiles
from sandbox.images.sources.image_source import Inspected
from sandbox.oci.reference import parse_target
from tests.real.machine import leave_out, tool
from tests.support import registries
from tests.support.bundled import store_with


def require_classic_store() -> None:
    """Skip or fail where the engine keeps images in containerd's store; `test_engine29` is of that."""
    if (driver := tool("docker", "info", "--format", "{{.Driver}}").strip()) != "overlay2":
        leave_out(f"needs an engine with the driver overlay2, not {driver}")


def server(kind: str) -> Path:
    """The program of a registry: Debian's docker-registry (2.8) or the bundle's distribution (3)."""
    if kind == "docker-registry":
        found = shutil.which(kind)
        return Path(found) if found else leave_out("needs docker-registry: apt-get install docker-registry")
    return store_with("registry").program(recipes()["registry"], "registry")


def registry(kind: str, folder: Path, more: str = "") -> AbstractContextManager[str]:
    """The host and port of an empty registry that runs for the length of the block; `more` are settings for it."""
    return registries.serving(server(kind), folder, more)


@dataclass(frozen=True)
class ReadBack:
    """An image as another client reads it: its manifest's digest, its configuration, its layers' digests."""

    digest: str
    config: bytes
    layers: tuple[str, ...]


def reader() -> Callable[[str, Path], ReadBack]:
    """A function that reads an image back with a client that is not ours: crane when there is one, else skopeo."""
    crane = os.environ.get("SANDBOX_TEST_CRANE") or shutil.which("crane") or _cached_crane()
    if crane:
        return lambda name, folder: _with_crane(crane, name, folder)
    if shutil.which("skopeo"):
        return _with_skopeo
    leave_out("needs crane (scripts/bench/push builds it) or skopeo, to read images back")


def _cached_crane() -> str | None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return next((str(path) for path in (cache / "sandbox" / "bench").glob("crane-*/crane")), None)


def _with_crane(crane: str, name: str, folder: Path) -> ReadBack:
    def ask(command: str, what: str) -> bytes:
        argv = [crane, command, "--insecure", what]
        return subprocess.run(argv, stdout=subprocess.PIPE, check=True, timeout=300).stdout

    def layer(digest: str) -> str:
        path = folder / "layer"
        with path.open("wb") as file:
            subprocess.run(
                [crane, "blob", "--insecure", f"{name.rpartition(':')[0]}@{digest}"], stdout=file, check=True
            )
        return _digest_of(path)

    manifest = ask("manifest", name)
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    assert ask("digest", name).decode().strip() == digest
    described = [one["digest"] for one in json.loads(manifest)["layers"]]
    layers = tuple(layer(one) for one in described)
    assert list(layers) == described
    return ReadBack(digest, ask("config", name), layers)


def _with_skopeo(name: str, folder: Path) -> ReadBack:
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    tool("skopeo", "copy", "--preserve-digests", "--src-tls-verify=false", f"docker://{name}", f"dir:{copy}")
    manifest = (copy / "manifest.json").read_bytes()
    content = json.loads(manifest)
    config, *layers = (one["digest"].partition(":")[2] for one in (content["config"], *content["layers"]))
    found = tuple(_digest_of(copy / one) for one in layers)
    assert found == tuple(f"sha256:{one}" for one in layers)
    return ReadBack(f"sha256:{hashlib.sha256(manifest).hexdigest()}", (copy / config).read_bytes(), found)


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


@dataclass
class Watched(Engine):
    engine: Engine
    saves: list[tuple[str, ...]] = field(default_factory=list)
    is_podman: bool = False

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        return self.engine.inspect_image(name)

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        self.saves.append(tuple(names))
        return self.engine.save(names)

    def root(self) -> Path:
        return self.engine.root()

    def tag(self, reference: str, name: str) -> None:
        self.engine.tag(reference, name)

    def remove_image(self, name: str) -> bool:
        return self.engine.remove_image(name)


def rebuilt(engine: Engine, name: str) -> dict[str, bytes]:
    inspected = Inspected(parse_target("app:1"), name, engine.inspect_image(name) or {})
    found = {}
    with contextlib.ExitStack() as stack:
        container = partial(ContainerFiles, engine)
        image = engine_store.read_images([inspected], engine.root, lambda _: None, container, stack)[name]
        for blob in image.blobs[1:]:
            with image.origin.open(blob) as chunks:
                found[blob.digest] = b"".join(chunks)
            assert len(found[blob.digest]) == blob.size
    return found
