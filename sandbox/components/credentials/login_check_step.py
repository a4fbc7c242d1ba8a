"""The proof that the accounts can be had, before half a minute goes into a cluster that is to pull with them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.components.credentials.token_exchange import mint
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.names import Names
from sandbox.oci.credential import CredentialsUnusable
from sandbox.step import State, Status, Work


@dataclass(frozen=True)
class AccountsStep:
    """Reads the files and asks the services; a cluster that has its credentials already is enough."""

    names: Names
    entries: tuple[Credentials, ...]
    name: str = "accounts"
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return "Accounts at other registries"

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

    def undo(self) -> bool:
        return False

    def _ask(self) -> None:
        for entry in self.entries:
            mint(entry, os.environ, now=datetime.now(UTC))
