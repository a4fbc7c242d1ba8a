"""Registries that others made and that a sandbox only uses, in a cluster of its own or in an existing one."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.components.registry import container_step, endpoints
from sandbox.engine import Engine
from sandbox.names import Names
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import NothingToUndo, State, Status, Work


def require_answer(where: str, keychain: Keychain | None = None) -> None:
    """Return when a registry answers, even if it, or its token server, only asks for an account.

    Raises RegistryError.
    """
    try:
        with Client(where, keychain=keychain) as client:
            client.ping()
    except RegistryError as error:
        if error.status not in (401, 403):
            raise


@dataclass(frozen=True)
class ExternalRegistryStep:
    """Tests whether this machine and the nodes reach it; removes the sandbox's own registry, whose data stays."""

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
        if self.engine.container(self.names.registry):
            return Status(State.DRIFTED, f"the sandbox's own {self.names.registry} is still there")
        try:
            require_answer(self.where)
        except RegistryError as error:
            return Status(State.ABSENT, error.brief)
        endpoint = endpoints.external(self.engine, self.network, self.where).endpoint
        return Status(State.READY, f"answers; nodes go to {endpoint}")

    def apply(self, work: Work) -> None:
        require_answer(self.where)  # else the sandbox would have no registry at all
        container_step.remove(self.engine, self.names, purge=False)
        require_answer(self.where)  # or it was the sandbox's own, by its port

    def undo(self) -> bool:
        return container_step.remove(self.engine, self.names, purge=self.purge)


@dataclass(frozen=True)
class TeamRegistryStep(NothingToUndo):
    """Makes nothing; ready when the registry answers, even if it asks for an account."""

    where: str
    keychain: Keychain | None
    name: str = "registry"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Registry {self.where}, not ours"

    def check(self) -> Status:
        try:
            require_answer(self.where, self.keychain)
        except RegistryError as error:
            return Status(State.ABSENT, error.brief)
        return Status(State.READY, "answers; nodes pull from it by their own configuration")

    def apply(self, work: Work) -> None:
        require_answer(self.where, self.keychain)
