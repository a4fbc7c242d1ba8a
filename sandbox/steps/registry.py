"""The private image registry: plain HTTP, reachable from this machine and from the nodes only."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.errors import SandboxError
from sandbox.host.engine import Bind, Container, ContainerSpec, Engine
from sandbox.host.waiting import wait_until
from sandbox.names import NETWORK, REGISTRY_PORT, Names
from sandbox.registry.client import Client
from sandbox.registry.errors import RegistryError
from sandbox.steps.step import State, Status, Work

COMMAND = ("registry", "serve", "/etc/distribution/config.yml")
CONFIG = {
    "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/var/lib/registry",
    "REGISTRY_STORAGE_DELETE_ENABLED": "true",
    "REGISTRY_HTTP_ADDR": f":{REGISTRY_PORT}",
    "REGISTRY_LOG_LEVEL": "warn",
    "OTEL_TRACES_EXPORTER": "none",
}


@dataclass(frozen=True)
class RegistryStep:
    """CNCF distribution in a container; its data is a volume that outlives `down` unless it purges."""

    engine: Engine
    names: Names
    image: str
    port: int
    purge: bool
    name: str = "registry"
    needs: tuple[str, ...] = ("images", "network")

    @property
    def title(self) -> str:
        return f"Registry localhost:{self.port}"

    def check(self) -> Status:
        container = self.engine.container(self.names.registry)
        if container is None:
            return Status(State.ABSENT)
        reason = self._drift(container)
        if reason:
            return Status(State.DRIFTED, reason)
        try:
            with Client(self._url) as client:
                client.ping()
        except RegistryError as error:
            return Status(State.DRIFTED, error.brief)
        return Status(State.READY, self.names.registry)

    def apply(self, work: Work) -> None:
        self.engine.remove_container(self.names.registry)
        self.engine.create_volume(self.names.volume, self.names.labels)
        self.engine.run(
            ContainerSpec(
                name=self.names.registry,
                image=self.image,
                command=COMMAND,
                labels=self.names.labels,
                network=NETWORK,
                publish={REGISTRY_PORT: self._binds},
                environment=CONFIG,
                volumes={self.names.volume: "/var/lib/registry"},
            )
        )
        wait_until(self._silence, what=self.title, timeout=20, pause=0.05)

    def undo(self) -> bool:
        removed = self.engine.remove_container(self.names.registry)
        return (self.purge and self.engine.remove_volume(self.names.volume)) or removed

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def _binds(self) -> tuple[Bind, ...]:
        return (Bind("127.0.0.1", self.port),)

    def _drift(self, container: Container) -> str | None:
        if not container.running:
            return "stopped"
        if container.image != self.engine.image_id(self.image):
            return "runs another image"
        if container.published.get(REGISTRY_PORT) != frozenset(self._binds):
            return f"is not published on 127.0.0.1:{self.port}"
        if NETWORK not in container.addresses:
            return f"is not on the network {NETWORK}"
        return None

    def _silence(self) -> str | None:
        container = self.engine.container(self.names.registry)
        if container is None or not container.running:
            raise SandboxError("the registry stopped", details=self.engine.logs(self.names.registry))
        try:
            with Client(self._url) as client:
                client.ping()
        except RegistryError as error:
            return error.brief
        return None
