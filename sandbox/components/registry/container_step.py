"""The private image registry: plain HTTP, for nodes by its container's name, for this machine through the edge."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.components.edge.route import LOOPBACK, RegistryRoute
from sandbox.components.edge.shared_edge import Edge
from sandbox.engine import Bind, Container, ContainerSpec, Engine, Network, container_copy, container_host, labelled
from sandbox.errors import SandboxError, succeeded
from sandbox.names import REGISTRY_PORT, Names
from sandbox.oci.client import Client
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import State, Status, Work
from sandbox.system.wait import wait_until

PROGRAM = "registry"
CONFIG_FILE = "/etc/distribution/config.yml"
COMMAND = (PROGRAM, "serve", CONFIG_FILE)
DATA = "/var/lib/registry"
CONFIG = {
    "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": DATA,
    "REGISTRY_STORAGE_DELETE_ENABLED": "true",
    "REGISTRY_HTTP_ADDR": f":{REGISTRY_PORT}",
    "REGISTRY_LOG_LEVEL": "warn",
    # Layers that are stored elsewhere (OCI image-spec, descriptor.md, `urls`) get HTTP 500 without this.
    "REGISTRY_VALIDATION_MANIFESTS_URLS_ALLOW": '["^https?://"]',
    "OTEL_TRACES_EXPORTER": "none",
    "GOGC": "50",  # after a push it would keep more memory than it needs
}
BLOBS = f"{DATA}/docker/registry/v2/blobs"
QUARANTINE = f"{DATA}/quarantine"
# Uploads that broke off, which the registry itself keeps for a week, and what was moved aside.
_LEFTOVERS = f"$(busybox find {DATA}/docker -type d -name _uploads) {QUARANTINE}"
_LEFTOVER = re.compile(r"^(\d+) /\S+/(?:_uploads|quarantine)/([^/\s]+)/", re.MULTILINE)
_LIST = f"busybox find {_LEFTOVERS} -type f -exec busybox stat -c '%s %n' {{}} +"
_REMOVE = f"busybox rm -rf {_LEFTOVERS}"
_PUT_ASIDE = """
set -e
busybox mkdir -p PLACE
for blob in BLOBS; do
  busybox rm -rf "PLACE/${blob##*/}"
  [ ! -e "$blob" ] || busybox mv "$blob" PLACE/
done
"""
READ_ONLY = {"REGISTRY_STORAGE_MAINTENANCE_READONLY": "{enabled: true}"}
MADE = "dev.sandbox.registry"  # the label with a digest of all its settings
# The label of its volume with the port that it had first, which `auto` takes again after `down`.
PORT = "dev.sandbox.registry-port"


@dataclass(frozen=True, kw_only=True)
class Registry:
    """CNCF distribution in a container, with `port` of the loopback through the edge; its data is in a volume.

    With `storage` the data is in that folder instead, which is the user's and never removed.
    """

    engine: Engine
    names: Names
    image: str
    edge_image: str
    port: int
    storage: Path | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def status(self) -> Status:
        container = self.engine.container(self.names.registry)
        if container is None:
            return Status(State.ABSENT)
        if reason := self._drift(container):
            return Status(State.DRIFTED, reason)
        edge = self._edge.registry_status(self._route(container))
        if edge.state is not State.READY:
            return Status(State.DRIFTED, edge.detail or "the edge does not serve its port")
        silence = self._silence()
        return Status(State.DRIFTED, silence) if silence else Status(State.READY, self.names.registry)

    def start(self, say: Callable[[str], None]) -> None:
        """Recreate its container over the same data, and wait until the edge reaches it. Raises SandboxError."""
        self._serve({}, say)

    def stop(self) -> bool:
        container = self.engine.container(self.names.registry)
        if container is None or not container.has_processes:
            return False
        self.engine.stop(container.name)
        return True

    def garbage(self) -> str:
        """Return what `collect` would delete, in the registry's own words. Raises SandboxError."""
        return self._collect("--dry-run")

    def leftovers(self, busybox: str) -> Mapping[str, int]:
        """Return the sizes in bytes of unfinished uploads, and of blobs that were moved aside, by their names.

        They are looked at by a container of the image `busybox`. Raises SandboxError.
        """
        sizes: dict[str, int] = {}
        _, output = self._run_over_data(busybox, _LIST)  # there may be no such folder yet
        for size, name in _LEFTOVER.findall(output):
            sizes[name] = sizes.get(name, 0) + int(size)
        return sizes

    def collect(self, busybox: str) -> str:
        """Delete what no tag names, and `leftovers`; return the registry's output. Meanwhile nothing can be pushed.

        It ends with a restart, for a registry still claims, from its cache, to have what was collected. If it is killed
        meanwhile, the registry accepts no pushes until the next `up`. Raises SandboxError.
        """
        try:
            self._serve(READ_ONLY, _silent)
            output = self._collect()
            succeeded(self._run_over_data(busybox, _REMOVE), "unfinished uploads could not be deleted")
            return output
        finally:
            self._serve({}, _silent)

    def quarantine(self, damaged: Iterable[str], busybox: str) -> None:
        """Move blobs aside, by a container of the image `busybox`: a registry does not accept a blob that it has.

        It ends with a restart, for a registry still claims, from its cache, to have what it lost. Raises SandboxError.
        """
        names = (digest.split(":") for digest in damaged)
        blobs = " ".join(f"{BLOBS}/{algorithm}/{name[:2]}/{name}" for algorithm, name in names)
        script = _PUT_ASIDE.replace("BLOBS", blobs).replace("PLACE", QUARANTINE)
        succeeded(self._run_over_data(busybox, script), "the registry's damaged blobs could not be moved aside")
        self._serve({}, _silent)

    def _run_over_data(self, busybox: str, script: str) -> tuple[int, str]:
        """Run a shell script in a container of the image `busybox` that has the registry's data; see run_script."""
        place = {DATA: str(self.storage or self.names.volume)}
        name = self.names.quarantine
        labelled.make_room(self.engine, name, self.names.home)  # of a command that was killed
        return container_copy.run_script(
            self.engine, busybox, script, name=name, volumes=place, labels=self.names.labels
        )

    def _collect(self, *options: str) -> str:
        argv = [PROGRAM, "garbage-collect", "--delete-untagged", *options, CONFIG_FILE]
        status, output = self.engine.execute(self.names.registry, argv)
        if status != 0:
            lines = "\n".join(output.splitlines()[-10:])
            raise SandboxError("the registry could not collect its garbage", details=lines, fix="sandbox up")
        return output

    def _serve(self, more: Mapping[str, str], say: Callable[[str], None]) -> None:
        labelled.make_room(self.engine, self.names.registry, self.names.home)
        if self.storage is None:
            self.engine.create_volume(self.names.volume, {**self.names.labels, PORT: str(self.port)})
        self.engine.run(self._spec(more))
        self._publish(say)

    def _spec(self, more: Mapping[str, str]) -> ContainerSpec:
        spec = ContainerSpec(
            name=self.names.registry,
            image=self.image,
            command=COMMAND,
            labels=self.names.labels,
            network=self.names.network,
            address=container_host.kept_address(self._network, container_host.REGISTRY),
            publish={REGISTRY_PORT: (Bind(LOOPBACK, self.port),)},
            forwarded=False,
            environment={**CONFIG, **more},
            volumes={str(self.storage or self.names.volume): DATA},
            user=container_host.folder_owner(self.engine, self.storage) if self.storage else None,
        )
        made = hashlib.sha256(repr(replace(spec, image="")).encode()).hexdigest()[:12]
        return replace(spec, labels={**spec.labels, MADE: made})

    def _publish(self, say: Callable[[str], None]) -> None:
        self._edge.publish_registry(self._route(self._require_running()), say)

        def silence() -> str | None:
            self._require_running()
            return self._silence()

        wait_until(silence, what=f"Registry localhost:{self.port}", timeout=20, pause=0.05)

    def _route(self, container: Container) -> RegistryRoute:
        network = self.names.network
        server = f"{container.addresses.get(network, container.name)}:{REGISTRY_PORT}"
        return RegistryRoute(self.names.name, self.port, server, (self.names.registry,), network)

    @property
    def _edge(self) -> Edge:
        return Edge(self.engine, self.names, self.edge_image)

    @property
    def _network(self) -> Network:
        return container_host.joined(self.engine, self.names.network)

    def _drift(self, container: Container) -> str | None:
        if not container.running:
            return "stopped"
        if container.image != self.engine.image_id(self.image):
            return "runs another image"
        if self.names.network not in container.attached:
            return f"is not on the network {self.names.network}"
        return None if container.labels.get(MADE) == self._spec({}).labels[MADE] else "has other settings"

    def _require_running(self) -> Container:
        container = self.engine.container(self.names.registry)
        if container is None or not container.running:
            output = self.engine.logs(container.name) if container else "another command or program removed it"
            raise SandboxError("the registry stopped", details=output, id="stopped")
        return container

    def _silence(self) -> str | None:
        try:
            with Client(self.url) as client:
                client.ping()
        except RegistryError as error:
            return error.brief
        return None


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True)
class RegistryStep:
    """The sandbox's own registry, whose data outlives `down` unless it purges."""

    registry: Registry
    purge: bool
    name: str = "registry"
    requires: tuple[str, ...] = ("images", "network")

    @property
    def title(self) -> str:
        return f"Registry localhost:{self.registry.port}"

    def check(self) -> Status:
        return self.registry.status()

    def apply(self, work: Work) -> None:
        self.registry.start(work.say)

    def stop(self) -> bool:
        return self.registry.stop()

    def undo(self) -> bool:
        return remove(self.registry.engine, self.registry.names, purge=self.purge)


def remove(engine: Engine, names: Names, *, purge: bool) -> bool:
    """Remove the registry's container and port and, to `purge`, its volume; returns whether there was anything."""
    served = Edge(engine, names, "").withdraw_registry()
    removed = labelled.remove(engine, names.registry, names.home) or served
    return (purge and labelled.remove_volume(engine, names.volume, names.home)) or removed
