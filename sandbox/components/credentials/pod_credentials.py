"""The accounts at other registries that pods of a sandbox have: delivered, checked and renewed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sandbox.components.credentials.delivery import Delivery, Renewed, requested
from sandbox.components.credentials.node_logins import NodeLogins
from sandbox.components.credentials.pod_logins import Origin, PodLogin, PodLogins, file_state
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.engine import Engine
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.provider import Nodes
from sandbox.step import State, Status
from sandbox.system import daemon

LIST = "logins.json"
RENEWAL = "sandbox.components.credentials.renewal_daemon"


@dataclass(frozen=True)
class PodCredentials:
    """The accounts of one sandbox: `entries` are those of the spec, commands' are in a list. Raises SandboxError."""

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

    def status(self, entries: Sequence[Credentials]) -> Status:
        logins, spec = self.logins.read(), {entry.secret: entry for entry in entries}
        for name in spec.keys() - logins.keys():  # the others stay, whatever becomes of this one
            return Status(State.DRIFTED if self.names.credentials.exists() else State.ABSENT, name)
        now = datetime.now(UTC)
        for name, login in logins.items():
            if name not in spec and login.origin == "spec":
                return Status(State.DRIFTED, f"{name} is no longer in the spec")
            if change := _change(spec.get(name, login.entry), login, now):
                return Status(State.DRIFTED, change)
        if pending := self.delivery.pending():
            return Status(State.DRIFTED, pending)
        if any(login.expires for login in logins.values()) and daemon.find(self._record) is None:
            return Status(State.DRIFTED, f"no process renews them; the log of the last one is {self._log}")
        shown = (
            f"{login.secret} until {login.expires:%H:%M} UTC" if login.expires else login.secret
            for login in logins.values()
        )
        return Status(State.READY, ", ".join(shown) or "none")

    def bring(self, entries: Sequence[Credentials], say: Callable[[str], None]) -> None:
        """Request what is new, changed, missing or about to expire, and remove what the spec no longer lists."""
        delivery, logins, spec = self.delivery, self.logins.read(), {entry.secret: entry for entry in entries}
        if dropped := [name for name, login in logins.items() if login.origin == "spec" and name not in spec]:
            delivery.forget(dropped)
        added = [login.entry for name, login in logins.items() if login.origin == "command" and name not in spec]
        now, incomplete = datetime.now(UTC), delivery.pending()
        fresh: dict[PodLogin, Login] = {}
        for entry in (*spec.values(), *added):
            login = logins.get(entry.secret)
            if login is None or incomplete or _change(entry, login, now):
                say(entry.secret)
                origin: Origin = "spec" if entry.secret in spec else "command"
                fresh |= requested(entry, origin, self.environ, now=now)
        delivery.deliver(fresh)
        self._keep_renewed()

    def add(self, entry: Credentials) -> None:
        self.delivery.deliver(requested(entry, "command", self.environ, now=datetime.now(UTC)))
        self._keep_renewed()

    def forget(self, names: Sequence[str]) -> None:
        self.delivery.forget(names)
        self._keep_renewed()

    def renew(self, logins: Sequence[PodLogin]) -> Renewed:
        """Get new logins now."""
        renewed = self.delivery.renew(logins, self.environ, now=datetime.now(UTC), at_once=True)
        self._keep_renewed()
        return renewed

    def stop(self) -> bool:
        return daemon.end(self._record)

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
        daemon.end(self._record)
        shutil.rmtree(self.names.credentials)
        return True

    @property
    def _record(self) -> Path:
        return self.names.credentials / "keeper.json"

    @property
    def _log(self) -> Path:
        return self.names.credentials / "keeper.log"

    def _keep_renewed(self) -> None:
        logins = self.logins.read()
        if not logins:
            self.remove()
            return
        daemon.end(self._record)  # the nodes may be others
        if any(login.expires for login in logins.values()):
            self._log.unlink(missing_ok=True)
            # -P, since the current folder may contain a package of our name.
            program = (sys.executable, "-P", "-m", RENEWAL)
            places = (str(self.names.kubeconfig), str(self.logins.file), *self.nodes.running())
            daemon.start((*program, *places), log_to=self._log, record=self._record)


def _change(entry: Credentials, login: PodLogin, now: datetime) -> str | None:
    if login.entry != entry:
        return f"{entry.secret} is of another entry"
    if login.file != file_state(entry.file):
        return f"{entry.secret} is from before {entry.file} was changed"
    if login.expires and login.is_due(now):
        verb = "ended" if now >= login.expires else "ends"
        return f"{entry.secret} {verb} at {login.expires:%Y-%m-%d %H:%M} UTC"
    return None
