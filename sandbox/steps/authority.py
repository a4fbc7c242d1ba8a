"""The certificate authority and the certificates, as files of the user."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.certs.condition import State as Condition
from sandbox.certs.keystore import Keystore
from sandbox.names import Names
from sandbox.steps.step import State, Status, Work


@dataclass(frozen=True)
class AuthorityStep:
    """Makes the authority once and the leaves whenever they are due; `leaves` maps a file name to its hosts.

    Certificates outlive `down` unless it purges, so that whoever trusts the root need not do it again.
    """

    names: Names
    keystore: Keystore
    domain: str
    leaves: Mapping[str, tuple[str, ...]]
    purge: bool
    name: str = "certificates"
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Certificates for {self.domain}"

    def check(self) -> Status:
        now = datetime.now(UTC)
        authority = self.keystore.inspect_authority([self.domain], now=now)
        if authority.state is Condition.ABSENT:
            return Status(State.ABSENT, "no authority yet")
        if not authority.usable:
            return Status(State.DRIFTED, authority.reason)
        for leaf, hosts in self.leaves.items():
            found = self.keystore.inspect_leaf(leaf, hosts, now=now)
            if found.state is not Condition.GOOD:
                return Status(State.DRIFTED, f"{leaf}: {found.reason or 'not issued yet'}")
        return Status(State.READY, str(self.names.root_certificate))

    def apply(self, work: Work) -> None:
        now = datetime.now(UTC)
        self.keystore.authority([self.domain], now=now)
        for leaf, hosts in self.leaves.items():
            self.keystore.leaf(leaf, hosts, now=now)

    def undo(self) -> bool:
        if not self.purge or not self.names.keys.exists():
            return False
        shutil.rmtree(self.names.keys)
        return True
