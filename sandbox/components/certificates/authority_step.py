"""The certificate authority and the certificates, as files of the user."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.components.certificates.facts import CertificateState, describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.names import Names
from sandbox.quantities import count
from sandbox.step import State, Status, Work

RENEW = "sandbox certs renew --root"


@dataclass(frozen=True, kw_only=True)
class AuthorityStep:
    """Makes the root once, and the certificates below it whenever they are due; `leaves` maps a file name to its hosts.

    The CA may issue for `domains`, the sandbox's own first. `unvouched` are further domains that are not worth a new
    root. A new root may also issue for the domains that `reserve` returns, so that they can be added later.
    Certificates outlive `down` unless it purges, so that clients need to trust the root only once.
    """

    names: Names
    keystore: Keystore
    domains: tuple[str, ...]
    leaves: Mapping[str, tuple[str, ...]]
    purge: bool
    unvouched: tuple[str, ...] = ()
    reserve: Callable[[], Sequence[str]] = tuple
    name: str = "certificates"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Certificates for {self.domains[0]}"

    def check(self) -> Status:
        now = datetime.now(UTC)
        root = self.keystore.inspect_root(self.domains, now=now)
        if root.state is CertificateState.ABSENT:
            return Status(State.ABSENT, "no authority yet")
        if not root.usable and self.keystore.inspect_root(now=now).usable:  # but not for all of the spec's domains
            return Status(State.STALE, f"root: {root.reason}", "the root that clients were told to trust")
        if not root.usable:
            return Status(State.DRIFTED, f"root: {root.reason}")
        issuing = self.keystore.inspect_issuing(self.domains, now=now)
        if not issuing.usable or (issuing.state is CertificateState.DUE and self.keystore.root.has_key):
            return Status(State.DRIFTED, f"issuing authority: {issuing.reason}")
        for leaf, hosts in self.leaves.items():
            condition = self.keystore.inspect_leaf(leaf, hosts, now=now)
            if condition.state is not CertificateState.GOOD:
                return Status(State.DRIFTED, f"{leaf}: {condition.reason}")
        certificates = (self.keystore.issuing, *map(self.keystore.leaf_files, self.leaves))
        days = min(describe(files.read().cert_pem, now=now).days_left for files in certificates)
        due = f"; root: {root.reason}, {RENEW} makes another" if root.reason else ""
        few = f"; not for {', '.join(self.unvouched)}: {RENEW} makes a root that is" if self.unvouched else ""
        return Status(State.READY, f"{count(days, 'day')} left{due}{few}")

    def apply(self, work: Work) -> None:
        now = datetime.now(UTC)
        self.keystore.authority(self.domains, now=now, reserve=self.reserve())
        for leaf, hosts in self.leaves.items():
            self.keystore.leaf(leaf, hosts, now=now)

    def rebuild(self, work: Work) -> None:
        domains = (*self.domains, *self.unvouched)
        self.keystore.renew(domains, self.leaves, now=datetime.now(UTC), root=True, reserve=self.reserve())

    def undo(self) -> bool:
        if not self.purge or not self.names.keys.exists():
            return False
        shutil.rmtree(self.names.keys)
        return True
