"""A registry that a team has, for a cluster that is not ours: its nodes know it, and we only push there."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.errors import SandboxError
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import NothingToUndo, State, Status, Work


@dataclass(frozen=True)
class TeamRegistryStep(NothingToUndo):
    """Makes nothing; ready when the registry answers, be it by asking for an account."""

    where: str
    keychain: Keychain | None
    name: str = "registry"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Registry {self.where}, not ours"

    def check(self) -> Status:
        try:
            with Client(self.where, keychain=self.keychain) as client:
                client.ping()
        except RegistryError as error:
            if error.status not in (401, 403):
                return Status(State.ABSENT, error.brief)
        return Status(State.READY, "answers; nodes pull from it as they are told to")

    def apply(self, work: Work) -> None:
        found = self.check()
        if found.state is not State.READY:
            raise SandboxError(
                f"the registry {self.where} cannot be used", details=found.detail, fix="see registry.external"
            )
