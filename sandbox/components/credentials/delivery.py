"""Brings logins to pods: those of all namespaces by a file on nodes, others by Secrets; and renews them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sandbox.components.credentials.node_logins import NodeLogins
from sandbox.components.credentials.pod_logins import Origin, PodLogin, PodLogins
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.components.credentials.registry_accounts import mint
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.errors import SandboxError


@dataclass(frozen=True)
class Renewed:
    """The results of a renewal, by the login's name."""

    done: tuple[str, ...]
    failed: Mapping[str, SandboxError]


@dataclass(frozen=True)
class Delivery:
    """The logins of one cluster; every method raises SandboxError."""

    logins: PodLogins
    nodes: NodeLogins
    secrets: PullSecrets

    def pending(self) -> str | None:
        """Return the first place that lacks what it should have, or has what it should not."""
        logins = self.logins.read().values()
        pending = (self.secrets.pending(login) for login in logins)
        return next(filter(None, pending), None) or self.nodes.pending(_of_nodes(logins))

    def deliver(self, fresh: Mapping[PodLogin, Login], *, at_once: bool = True) -> None:
        """Bring new logins to the cluster, and have all nodes and later service accounts get the others too."""
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


def requested(
    entry: Credentials, origin: Origin, environ: Mapping[str, str], *, now: datetime
) -> dict[PodLogin, Login]:
    login = mint(entry, environ, now=now)
    return {PodLogin.of(entry, origin, login): login}


def _of_nodes(logins: Collection[PodLogin]) -> list[PodLogin]:
    return [login for login in logins if not login.namespaces]
