"""The private image registry: plain HTTP, for nodes by its container's name, for this machine through the edge."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.components.edge.route import LOOPBACK, RegistryRoute
from sandbox.components.edge.shared_edge import Edge
from sandbox.engine import Bind, Container, ContainerSpec, Engine, container_copy, container_host, labelled
from sandbox.errors import SandboxError, succeeded
from sandbox.names import REGISTRY_PORT, Names
from sandbox.oci.client import Client
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import State, Status, Work
from sandbox.system.wait import wait_until

CONFIG_FILE = "/etc/distribution/config.yml"
COMMAND = ("registry", "serve", CONFIG_FILE)
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
class RegistryStep:
    """CNCF distribution in a container, with `port` of the loopback through the edge.

    Its data is in a volume, which outlives `down` unless it purges, or in the folder `storage`, which is the user's and
    never removed.
    """

    engine: Engine
    names: Names
    image: str
    edge_image: str
    port: int
    storage: Path | None = None
    purge: bool = False
    name: str = "registry"
    requires: tuple[str, ...] = ("images", "network")

    @property
    def title(self) -> str:
        return f"Registry localhost:{self.port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def check(self) -> Status:
        container = self.engine.container(self.names.registry)
        if container is None:
            return Status(State.ABSENT)
        reason = None
        if not container.running:
            reason = "stopped"
        elif container.image != self.engine.image_id(self.image):
            reason = "runs another image"
        elif self.names.network not in container.attached:
            reason = f"is not on the network {self.names.network}"
        elif container.labels.get(MADE) != self._spec().labels[MADE]:
            reason = "has other settings"
        else:
            edge = self._edge.registry_status(self._route(container))
            if edge.state is not State.READY:
                reason = edge.detail or "the edge does not serve its port"
        reason = reason or self._silence()
        return Status(State.DRIFTED, reason) if reason else Status(State.READY, self.names.registry)

    def apply(self, work: Work) -> None:
        self.start(work.say)

    def start(self, say: Callable[[str], None] = lambda _: None, *, read_only: bool = False) -> None:
        """Recreate its container over the same data, and wait until the edge reaches it. Raises SandboxError."""
        labelled.make_room(self.engine, self.names.registry, self.names.home)
        if self.storage is None:
            self.engine.create_volume(self.names.volume, {**self.names.labels, PORT: str(self.port)})
        self.engine.run(self._spec(read_only=read_only))
        self._edge.publish_registry(self._route(self._require_running()), say)

        def silence() -> str | None:
            self._require_running()
            return self._silence()

        wait_until(silence, what=self.title, timeout=20, pause=0.05)

    def stop(self) -> bool:
        container = self.engine.container(self.names.registry)
        if container is None or not container.has_processes:
            return False
        self.engine.stop(container.name)
        return True

    def undo(self) -> bool:
        return remove(self.engine, self.names, purge=self.purge)

    def garbage(self, *, delete: bool = False) -> str:
        """Return what no tag names, in the registry's own words, and `delete` it. Raises SandboxError."""
        dry_run = () if delete else ("--dry-run",)
        argv = ["registry", "garbage-collect", "--delete-untagged", *dry_run, CONFIG_FILE]
        status, output = self.engine.execute(self.names.registry, argv)
        if status != 0:
            lines = "\n".join(output.splitlines()[-10:])
            raise SandboxError("the registry could not collect its garbage", details=lines, fix="sandbox up")
        return output

    def leftovers(self, busybox: str) -> Mapping[str, int]:
        """Return the sizes in bytes of unfinished uploads, and of blobs that were moved aside, by their names."""
        sizes: dict[str, int] = {}
        script = f"busybox find {_LEFTOVERS} -type f -exec busybox stat -c '%s %n' {{}} +"
        _, output = self._run_over_data(busybox, script)  # there may be no such folder yet
        for size, name in _LEFTOVER.findall(output):
            sizes[name] = sizes.get(name, 0) + int(size)
        return sizes

    def collect(self, busybox: str) -> str:
        """Delete what no tag names, and `leftovers`; return the registry's output. Meanwhile nothing can be pushed.

        It ends with a restart, for a registry still claims, from its cache, to have what was collected. If it is killed
        meanwhile, the registry accepts no pushes until the next `up`. Raises SandboxError.
        """
        try:
            self.start(read_only=True)
            output = self.garbage(delete=True)
            removed = self._run_over_data(busybox, f"busybox rm -rf {_LEFTOVERS}")
            succeeded(removed, "unfinished uploads could not be deleted")
            return output
        finally:
            self.start()

    def quarantine(self, damaged: Iterable[str], busybox: str) -> None:
        """Move blobs aside, by a container of the image `busybox`: a registry does not accept a blob that it has.

        It ends with a restart, for a registry still claims, from its cache, to have what it lost. Raises SandboxError.
        """
        names = (digest.split(":") for digest in damaged)
        blobs = " ".join(f"{BLOBS}/{algorithm}/{name[:2]}/{name}" for algorithm, name in names)
        script = _PUT_ASIDE.replace("BLOBS", blobs).replace("PLACE", QUARANTINE)
        succeeded(self._run_over_data(busybox, script), "the registry's damaged blobs could not be moved aside")
        self.start()

    def _run_over_data(self, busybox: str, script: str) -> tuple[int, str]:
        name, labels, place = self.names.quarantine, self.names.labels, {DATA: str(self.storage or self.names.volume)}
        labelled.make_room(self.engine, name, self.names.home)  # of a command that was killed
        return container_copy.run_script(self.engine, busybox, script, name=name, volumes=place, labels=labels)

    def _spec(self, *, read_only: bool = False) -> ContainerSpec:
        network = container_host.joined(self.engine, self.names.network)
        spec = ContainerSpec(
            name=self.names.registry,
            image=self.image,
            command=COMMAND,
            labels=self.names.labels,
            network=self.names.network,
            address=container_host.kept_address(network, container_host.REGISTRY),
            publish={REGISTRY_PORT: (Bind(LOOPBACK, self.port),)},
            forwarded=False,
            environment={**CONFIG, **(READ_ONLY if read_only else {})},
            volumes={str(self.storage or self.names.volume): DATA},
            user=container_host.folder_owner(self.engine, self.storage) if self.storage else None,
        )
        made = hashlib.sha256(repr(replace(spec, image="")).encode()).hexdigest()[:12]
        return replace(spec, labels={**spec.labels, MADE: made})

    def _route(self, container: Container) -> RegistryRoute:
        network = self.names.network
        server = f"{container.addresses.get(network, container.name)}:{REGISTRY_PORT}"
        return RegistryRoute(self.names.name, self.port, server, (self.names.registry,), network)

    @property
    def _edge(self) -> Edge:
        return Edge(self.engine, self.names, self.edge_image)

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


def remove(engine: Engine, names: Names, *, purge: bool) -> bool:
    """Remove the registry's container and port and, to `purge`, its volume; returns whether there was anything."""
    served = Edge(engine, names, "").withdraw_registry()
    removed = labelled.remove(engine, names.registry, names.home) or served
    return (purge and labelled.remove_volume(engine, names.volume, names.home)) or removed
