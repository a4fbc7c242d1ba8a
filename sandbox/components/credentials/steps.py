"""Steps for accounts at other registries: the early test that they work, and their Secrets in the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.components.credentials.registry_accounts import mint, resolved
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.names import Names
from sandbox.oci.credential import CredentialsUnusable
from sandbox.step import NothingToUndo, State, Status, Work


@dataclass(frozen=True)
class AccountsStep(NothingToUndo):
    """Reads the files and asks the services; not needed where the cluster has its credentials already."""

    names: Names
    entries: tuple[Credentials, ...]
    environ: Mapping[str, str]
    name: str = "accounts"
    requires: tuple[str, ...] = ()
    title: str = "Accounts at other registries"

    def check(self) -> Status:
        if self.names.credentials.exists():
            return Status(State.READY)
        try:
            self._ask()
        except CredentialsUnusable as error:
            return Status(State.ABSENT, error.brief)
        return Status(State.READY)

    def apply(self, work: Work) -> None:
        self._ask()

    def _ask(self) -> None:
        for entry in self.entries:
            mint(entry, self.environ, now=datetime.now(UTC))


@dataclass(frozen=True)
class CredentialsStep:
    """The accounts of the spec and of commands, brought to pods and renewed.

    A cluster that is `adopted` stays, and so they are taken out of it.
    """

    credentials: PodCredentials
    entries: tuple[Credentials, ...]
    adopted: bool = False
    name: str = "credentials"
    requires: tuple[str, ...] = ("cluster", "accounts")
    title: str = "Registry credentials"

    def check(self) -> Status:
        return self.credentials.status(self._resolved)

    def apply(self, work: Work) -> None:
        self.credentials.bring(self._resolved, work.say)

    def stop(self) -> bool:
        return self.credentials.stop()

    def undo(self) -> bool:
        return self.revoke() if self.adopted else self.credentials.remove()

    def revoke(self) -> bool:
        withdrawn = self.credentials.withdraw()
        return self.credentials.remove() or withdrawn

    @property
    def _resolved(self) -> tuple[Credentials, ...]:
        return tuple(resolved(entry, self.credentials.environ) for entry in self.entries)
