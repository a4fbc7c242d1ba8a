"""Saves a snapshot: nodes, registry, certificates and spec of a sandbox at one moment."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from sandbox import __version__
from sandbox.components.cluster.kind.provider import VERSION
from sandbox.components.edge.use import Use
from sandbox.engine import Container, Engine, EngineError, container_copy, labelled
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Home, Names
from sandbox.snapshot import resumer
from sandbox.snapshot.snapshot_store import MANIFEST, Manifest, Node, Store, part
from sandbox.snapshot.volume_archive import Packed, VolumeArchive
from sandbox.system import files, process

CERTIFICATES = "certificates.tar"
SPEC = "spec.json"
REGISTRY = "registry"


@dataclass(frozen=True, kw_only=True)
class Saving:
    """A sandbox to save, whose nodes are the containers `nodes`, and the store for its snapshots."""

    engine: Engine
    names: Names
    store: Store
    nodes: Sequence[Container]

    def save(self, snapshot: str, say: Callable[[str], None]) -> Manifest:
        """Save it under the name `snapshot`; its containers are paused meanwhile. Raises SandboxError."""
        labelled.require(self.engine, self.names)
        if not self.nodes:
            raise UsageError(
                f"sandbox '{self.names.name}' has no cluster",
                fix="sandbox up creates one; sandbox list shows all sandboxes",
                id="no-sandbox",
            )
        if not self.names.spec.exists():
            raise UsageError(
                f"the spec of sandbox '{self.names.name}' is not known", fix="sandbox up, which saves the spec"
            )
        with self.store.begun(self.names.name, snapshot) as folder:
            registry = self.engine.volume_labels(self.names.volume) is not None
            # The first is asked for its image's programs, which a balancer of control planes has not.
            ordered = sorted(self.nodes, key=lambda one: one.name != self.names.node)
            described = [self._describe(one) for one in ordered]
            packed = packing(described)
            if registry:
                packed.append(Packed(self.names.volume, REGISTRY))
            with self._paused(registry):
                say("reading the nodes' files")
                for node in described:
                    _write(folder / node.files, container_copy.changes(self.engine, node.name))
                say("reading the volumes")
                VolumeArchive(self.engine, self.names, described[0].image).pack(packed, folder)
                _write(folder / CERTIFICATES, _tar(self.names.keys))
                _write(folder / SPEC, files.read_regular(self.names.spec))
            say("computing digests")
            manifest = Manifest(
                snapshot=snapshot,
                sandbox=self.names.name,
                made=datetime.now(UTC),
                release=__version__,
                kubernetes=(self.engine.read_file(self.names.node, VERSION) or b"").decode().strip(),
                image=described[0].image,
                folder=str(self.names.folder),
                nodes=tuple(described),
                registry=REGISTRY if registry else None,
                parts=tuple(part(path) for path in sorted(folder.iterdir())),
            )
            _write(folder / MANIFEST, manifest.model_dump_json(indent=2).encode())
        return manifest

    def _describe(self, container: Container) -> Node:
        made = container_copy.describe(self.engine, container.name)
        held = container_copy.volumes(self.engine, container.name)
        return Node(
            name=container.name,
            image=container.image,
            config={**made.config, "Image": container.image},
            host=dict(made.host),
            files=f"{container.name}.tar",
            volumes=dict(held),
        )

    @contextmanager
    def _paused(self, registry: bool) -> Iterator[None]:
        """Pause everything that writes, at the same time, so that the data is as after a loss of power.

        If this process is killed meanwhile, `resumer` resumes it all.
        """
        running = [one.name for one in self.nodes if one.running]
        found = self.engine.container(self.names.registry) if registry else None
        if found and found.running:
            running.append(found.name)
        use = Use.of(self.engine, self.names)
        held: list[str] = []
        argv = resumer.argv(self.names, running)
        with _log(self.names.home) as errors, process.talking(argv, errors=errors):
            try:
                use.trust_servers(healthy=True)  # clients wait, and are not refused for seconds afterwards
                for name in running:
                    held.append(name)
                    self.engine.pause(name)
                yield
            finally:
                for name in held:
                    with contextlib.suppress(EngineError):
                        self.engine.start(name)
                use.trust_servers(healthy=False)


def packing(nodes: Sequence[Node]) -> list[Packed]:
    """Return how the volumes of nodes are saved: only what differs from their image."""
    return [
        Packed(volume, f"{node.name}{place.replace('/', '-')}", base=place)
        for node in nodes
        for place, volume in node.volumes.items()
    ]


def _log(home: Home) -> IO[bytes]:
    """Open the log of commands, to add to it; one that cannot be written stops no command."""
    try:
        files.make_private_dir(home.state)
        return open(home.log, "ab", opener=files.private)
    except (OSError, SandboxError):
        return Path(os.devnull).open("wb")


def _tar(folder: Path) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                tar.add(path, str(path.relative_to(folder)))
    return content.getvalue()


def _write(path: Path, data: bytes) -> None:
    files.write_atomic(path, data, mode=0o600)
