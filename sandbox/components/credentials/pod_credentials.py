"""The accounts at other registries that pods of a sandbox have: delivered, checked and renewed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sandbox.components.credentials.node_logins import NodeLogins
from sandbox.components.credentials.pod_logins import Origin, PodLogin, PodLogins, file_state
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.components.credentials.registry_accounts import mint
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.provider import Nodes
from sandbox.system import daemon

LIST = "logins.json"
RENEWAL = "sandbox.components.credentials.renewal_daemon"


@dataclass(frozen=True)
class Renewed:
    """The results of a renewal, by the login's name."""

    done: tuple[str, ...]
    failed: Mapping[str, SandboxError]


def requested(
    entry: Credentials, origin: Origin, environ: Mapping[str, str], *, now: datetime
) -> dict[PodLogin, Login]:
    login = mint(entry, environ, now=now)
    pod_login = PodLogin(
        entry=entry,
        origin=origin,
        issued=login.issued,
        expires=login.expires,
        registries=tuple(login.accounts),
        file=file_state(entry.file),
    )
    return {pod_login: login}


@dataclass(frozen=True)
class Delivery:
    """Brings logins to a cluster: those of all namespaces by a file on nodes, others by Secrets."""

    logins: PodLogins
    nodes: NodeLogins
    secrets: PullSecrets

    def pending(self) -> str | None:
        """Return the first place that lacks what it should have, or has what it should not."""
        logins = self.logins.read().values()
        pending = (self.secrets.pending(login) for login in logins)
        return next(filter(None, pending), None) or self.nodes.pending(_of_nodes(logins))

    def deliver(self, fresh: Mapping[PodLogin, Login], *, at_once: bool = True) -> None:
        """Write `fresh` logins into Secrets and nodes; give all logins to nodes and service accounts that are new."""
        # The list is written first, so that it has everything that the cluster may have.
        self.logins.keep(fresh.keys())
        for pod_login, login in fresh.items():
            self.secrets.write(pod_login, login)
        self._distribute({login.secret: fresh[login] for login in _of_nodes(fresh)}, at_once=at_once)

    def forget(self, names: Collection[str]) -> None:
        for name in names:
            self.secrets.remove(name)
        self.logins.forget(names)
        self._distribute({}, at_once=True)

    def renew(
        self, logins: Collection[PodLogin], environ: Mapping[str, str], *, now: datetime, at_once: bool
    ) -> Renewed:
        """Renew logins; continue after failures of their services."""
        fresh: dict[PodLogin, Login] = {}
        failed: dict[str, SandboxError] = {}
        for login in logins:
            try:
                fresh |= requested(login.entry, login.origin, environ, now=now)
            except SandboxError as error:
                failed[login.secret] = error
        listed = self.logins.read()  # others may have been removed meanwhile
        fresh = {login: new for login, new in fresh.items() if login.secret in listed}
        self.deliver(fresh, at_once=at_once)
        return Renewed(tuple(login.secret for login in fresh), failed)

    def _distribute(self, fresh: Mapping[str, Login], *, at_once: bool) -> None:
        logins = self.logins.read().values()
        self.nodes.write(_of_nodes(logins), fresh, at_once=at_once)
        self.secrets.admit([login for login in logins if login.namespaces])


def _of_nodes(logins: Collection[PodLogin]) -> list[PodLogin]:
    return [login for login in logins if not login.namespaces]


@dataclass(frozen=True)
class PodCredentials:
    """The accounts of one sandbox, and the process that renews them."""

    engine: Engine
    nodes: Nodes
    names: Names
    environ: Mapping[str, str]

    @property
    def logins(self) -> PodLogins:
        return PodLogins(self.names.credentials / LIST)

    @property
    def delivery(self) -> Delivery:
        nodes = NodeLogins(self.engine, tuple(self.nodes.running()))
        return Delivery(self.logins, nodes, PullSecrets(Cluster(self.names.kubeconfig)))

    @property
    def record(self) -> Path:
        return self.names.credentials / "keeper.json"

    @property
    def log(self) -> Path:
        return self.names.credentials / "keeper.log"

    def add(self, entry: Credentials) -> None:
        self.delivery.deliver(requested(entry, "command", self.environ, now=datetime.now(UTC)))
        self.keep_renewed()

    def forget(self, names: Sequence[str]) -> None:
        self.delivery.forget(names)
        self.keep_renewed()

    def renew(self, logins: Sequence[PodLogin]) -> Renewed:
        renewed = self.delivery.renew(logins, self.environ, now=datetime.now(UTC), at_once=True)
        self.keep_renewed()
        return renewed

    def withdraw(self) -> bool:
        """Take all of them out of the cluster; return whether there were any and it answers."""
        if not (self.names.credentials.exists() and self.names.kubeconfig.exists()):
            return False
        if Cluster(self.names.kubeconfig).trouble():
            return False
        self.forget(list(self.logins.read()))
        return True

    def remove(self) -> bool:
        """Remove the list and the files on this machine; return whether there were any."""
        if not self.names.credentials.exists():
            return False
        daemon.end(self.record)
        shutil.rmtree(self.names.credentials)
        return True

    def keep_renewed(self) -> None:
        """Start the process that renews logins, if any expires."""
        logins = self.logins.read()
        if not logins:
            self.remove()
            return
        daemon.end(self.record)  # the nodes may be others
        if any(login.expires for login in logins.values()):
            self.log.unlink(missing_ok=True)
            # -P, since the current folder may contain a package of our name.
            program = (sys.executable, "-P", "-m", RENEWAL)
            places = (str(self.names.kubeconfig), str(self.logins.file), *self.nodes.running())
            daemon.start((*program, *places), log_to=self.log, record=self.record)
