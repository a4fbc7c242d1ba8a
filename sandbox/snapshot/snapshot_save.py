"""Saves a snapshot: nodes, registry, certificates and spec of a sandbox at one moment."""

import contextlib
import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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


def save(
    engine: Engine, names: Names, nodes: Sequence[Container], store: Store, snapshot: str, say: Callable[[str], None]
) -> Manifest:
    """Save a sandbox, whose nodes are the containers `nodes`, as `snapshot`; they are paused meanwhile.

    Raises SandboxError.
    """
    labelled.require(engine, names)
    if not nodes:
        raise UsageError(
            f"sandbox '{names.name}' has no cluster",
            fix="sandbox up creates one; sandbox list shows all sandboxes",
            id="no-sandbox",
        )
    if not names.spec.exists():
        raise UsageError(f"the spec of sandbox '{names.name}' is not known", fix="sandbox up, which saves the spec")
    with store.begun(names.name, snapshot) as folder:
        registry = engine.volume_labels(names.volume) is not None
        # The first is asked for its image's programs, which a balancer of control planes has not.
        ordered = sorted(nodes, key=lambda node: node.name != names.node)
        described = [_describe(engine, node) for node in ordered]
        packed = packing(described)
        if registry:
            packed.append(Packed(names.volume, REGISTRY))
        with _paused(engine, names, nodes, registry=registry):
            say("reading the nodes' files")
            for node in described:
                files.write_private(folder / node.files, container_copy.changes(engine, node.name))
            say("reading the volumes")
            VolumeArchive(engine, names, described[0].image).pack(packed, folder)
            files.write_private(folder / CERTIFICATES, _tar(names.keys))
            files.write_private(folder / SPEC, files.read_regular(names.spec))
        say("computing digests")
        manifest = Manifest(
            snapshot=snapshot,
            sandbox=names.name,
            made=datetime.now(UTC),
            release=__version__,
            kubernetes=(engine.read_file(names.node, VERSION) or b"").decode().strip(),
            image=described[0].image,
            folder=str(names.folder),
            nodes=tuple(described),
            registry=REGISTRY if registry else None,
            parts=tuple(part(path) for path in sorted(folder.iterdir())),
        )
        files.write_private(folder / MANIFEST, manifest.model_dump_json(indent=2).encode())
    return manifest


@contextmanager
def _paused(engine: Engine, names: Names, nodes: Sequence[Container], *, registry: bool) -> Iterator[None]:
    # Everything that writes is paused at the same time, so that the data is as after a loss of power. If this process
    # is killed meanwhile, the sandbox is like one that `sandbox pause` has paused.
    running = [node.name for node in nodes if node.running]
    container = engine.container(names.registry) if registry else None
    if container and container.running:
        running.append(container.name)
    use = Use.of(engine, names)
    files.write_private(names.paused, use.read().to_json())
    paused: list[str] = []
    try:
        use.trust_servers(healthy=True)  # clients wait, and are not refused for seconds afterwards
        for name in running:
            paused.append(name)
            engine.pause(name)
        yield
    finally:
        for name in paused:
            with contextlib.suppress(EngineError):
                engine.start(name)
        use.trust_servers(healthy=False)
        names.paused.unlink(missing_ok=True)


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
