"""Saves a snapshot: nodes, registry, certificates and spec of a sandbox at one moment."""

import contextlib
import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sandbox import __version__
from sandbox.components.cluster.kind.provider import VERSION
from sandbox.components.edge.use import Use
from sandbox.engine import Container, Engine, EngineError, container_copy, labelled
from sandbox.errors import UsageError
from sandbox.names import Names
from sandbox.snapshot.snapshot_store import MANIFEST, Manifest, Node, Store, part
from sandbox.snapshot.volume_archive import Packed, VolumeArchive
from sandbox.system import files

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
            ordered = sorted(self.nodes, key=lambda node: node.name != self.names.node)
            described = [_describe(self.engine, node) for node in ordered]
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

    @contextmanager
    def _paused(self, registry: bool) -> Iterator[None]:
        """Pause everything that writes, at the same time, so that the data is as after a loss of power.

        If this process is killed meanwhile, the sandbox is like one that `sandbox pause` has paused.
        """
        running = [node.name for node in self.nodes if node.running]
        container = self.engine.container(self.names.registry) if registry else None
        if container and container.running:
            running.append(container.name)
        use = Use.of(self.engine, self.names)
        files.write_atomic(self.names.paused, use.read().to_json(), mode=0o600)
        paused: list[str] = []
        try:
            use.trust_servers(healthy=True)  # clients wait, and are not refused for seconds afterwards
            for name in running:
                paused.append(name)
                self.engine.pause(name)
            yield
        finally:
            for name in paused:
                with contextlib.suppress(EngineError):
                    self.engine.start(name)
            use.trust_servers(healthy=False)
            self.names.paused.unlink(missing_ok=True)


def _describe(engine: Engine, container: Container) -> Node:
    description = container_copy.describe(engine, container.name)
    return Node(
        name=container.name,
        image=container.image,
        config={**description["Config"], "Image": container.image},
        host=description["HostConfig"],
        files=f"{container.name}.tar",
        volumes=dict(container_copy.volumes(engine, container.name)),
    )


def packing(nodes: Sequence[Node]) -> list[Packed]:
    """Return how the volumes of nodes are saved: only what differs from their image."""
    return [
        Packed(volume, f"{node.name}{place.replace('/', '-')}", base=place)
        for node in nodes
        for place, volume in node.volumes.items()
    ]


def _tar(folder: Path) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                tar.add(path, str(path.relative_to(folder)))
    return content.getvalue()


def _write(path: Path, data: bytes) -> None:
    files.write_atomic(path, data, mode=0o600)
