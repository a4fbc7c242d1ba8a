"""A registry that another user made and that the sandbox only uses."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.components.registry import endpoints, frontend
from sandbox.engine import Engine, labelled
from sandbox.names import Names
from sandbox.oci.client import Client
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import State, Status, Work


@dataclass(frozen=True)
class ExternalRegistryStep:
    """Looks whether this machine and the nodes can reach it, and takes the sandbox's own away, whose data stays."""

    engine: Engine
    network: str
    names: Names
    where: str
    purge: bool
    name: str = "registry"
    requires: tuple[str, ...] = ("images", "network")

    @property
    def title(self) -> str:
        return f"Registry {self.where}, not ours"

    def check(self) -> Status:
        for name in frontend.own(self.names):
            if self.engine.container(name):
                return Status(State.DRIFTED, f"the sandbox's own {name} is still there")
        try:
            self._ping()
        except RegistryError as error:
            return Status(State.ABSENT, error.brief)
        there = endpoints.external(self.engine, self.network, self.where)
        return Status(State.READY, f"answers; nodes go to {there.endpoint}")

    def apply(self, work: Work) -> None:
        frontend.remove(self.engine, self.names)
        self._ping()

    def undo(self) -> bool:
        removed = frontend.remove(self.engine, self.names)
        return (self.purge and labelled.remove_volume(self.engine, self.names.volume, self.names.home)) or removed

    def _ping(self) -> None:
        with Client(self.where) as client:
            client.ping()
