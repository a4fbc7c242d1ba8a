"""The accounts at other registries that pods of a sandbox have: delivered, checked and renewed."""

import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter

from sandbox.components.credentials.login_delivery import NodeLogins, Origin, PodLogin, PullSecrets, file_state
from sandbox.components.credentials.registry_accounts import mint
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.system import daemon, files

RENEWAL = "sandbox.components.credentials.renewal_daemon"


@dataclass(frozen=True)
class PodCredentials:
    """The accounts of a sandbox: those of all namespaces by a file on its running `nodes`, others by Secrets.

    `folder` has the record and the log of the process that renews the logins, and their list, which contains no secret.
    The list alone decides which accounts are requested: nothing in the cluster can ask for more.
    """

    engine: Engine
    nodes: Callable[[], Sequence[str]]
    kubeconfig: Path
    folder: Path
    environ: Mapping[str, str]

    def logins(self) -> dict[str, PodLogin]:
        """Return the list of logins by name. Raises SandboxError for a file that no command wrote."""
        file = self._list
        try:
            logins = TypeAdapter(list[PodLogin]).validate_json(files.read_regular(file))
        except FileNotFoundError:
            return {}
        except (OSError, files.NotAFile, ValueError) as error:  # pydantic's errors are ValueErrors
            raise SandboxError(
                f"the list of registry credentials in {file} cannot be read",
                details=str(error),
                fix=f"rm {shlex.quote(str(file))}, then sandbox up, and sandbox credentials add for accounts that "
                "the spec does not list",
                id="credentials-list",
            ) from error
        return {login.secret: login for login in logins}

    def keep(self, logins: Mapping[str, PodLogin]) -> None:
        """Write the list of logins, which only the user can read."""
        content = TypeAdapter(list[PodLogin]).dump_json(list(logins.values()), indent=2)
        files.write_private(self._list, content + b"\n")

    @property
    def _list(self) -> Path:
        return self.folder / "logins.json"

    @property
    def record(self) -> Path:
        return self.folder / "keeper.json"

    @property
    def log(self) -> Path:
        return self.folder / "keeper.log"

    @property
    def _secrets(self) -> PullSecrets:
        return PullSecrets(Cluster(self.kubeconfig))

    @property
    def _on_nodes(self) -> NodeLogins:
        return NodeLogins(self.engine, tuple(self.nodes()))

    def pending(self) -> str | None:
        """Return the first place that lacks what it should have, or has what it should not."""
        logins = self.logins().values()
        pending = (self._secrets.pending(login) for login in logins)
        return next(filter(None, pending), None) or self._on_nodes.pending(_of_nodes(logins))

    def requested(self, entry: Credentials, origin: Origin, *, now: datetime) -> dict[PodLogin, Login]:
        login = mint(entry, self.environ, now=now)
        pod_login = PodLogin(
            entry=entry,
            origin=origin,
            issued=login.issued,
            expires=login.expires,
            registries=tuple(login.accounts),
            file=file_state(entry.file),
        )
        return {pod_login: login}

    def deliver(self, fresh: Mapping[PodLogin, Login], *, at_once: bool = True) -> None:
        """Write `fresh` logins into Secrets and nodes; give all logins to nodes and service accounts that are new."""
        # The list is written first, so that it has everything that the cluster may have.
        self.keep(self.logins() | {login.secret: login for login in fresh})
        for pod_login, login in fresh.items():
            self._secrets.write(pod_login, login)
        self._distribute({login.secret: fresh[login] for login in _of_nodes(fresh)}, at_once=at_once)

    def forget(self, names: Collection[str]) -> None:
        for name in names:
            self._secrets.remove(name)
        self.keep({name: login for name, login in self.logins().items() if name not in names})
        self._distribute({}, at_once=True)

    def renew(self, logins: Collection[PodLogin], *, now: datetime, at_once: bool = True) -> Mapping[str, SandboxError]:
        """Renew logins; return the failures of their services by the login's name."""
        fresh: dict[PodLogin, Login] = {}
        failed: dict[str, SandboxError] = {}
        for login in logins:
            try:
                fresh |= self.requested(login.entry, login.origin, now=now)
            except SandboxError as error:
                failed[login.secret] = error
        listed = self.logins()  # others may have been removed meanwhile
        self.deliver({login: new for login, new in fresh.items() if login.secret in listed}, at_once=at_once)
        return failed

    def withdraw(self) -> bool:
        """Take all of them out of the cluster; return whether there were any and it answers."""
        if not (self.folder.exists() and self.kubeconfig.exists()) or Cluster(self.kubeconfig).trouble():
            return False
        self.forget(list(self.logins()))
        return True

    def remove(self) -> bool:
        """Remove the list and the files on this machine; return whether there were any."""
        if not self.folder.exists():
            return False
        daemon.end(self.record)
        shutil.rmtree(self.folder)
        return True

    def keep_renewed(self) -> None:
        """Start the process that renews logins, if any expires."""
        logins = self.logins()
        if not logins:
            self.remove()
            return
        daemon.end(self.record)  # the nodes may be others
        if any(login.expires for login in logins.values()):
            self.log.unlink(missing_ok=True)
            # -P, since the current folder may contain a package of our name.
            program = (sys.executable, "-P", "-m", RENEWAL)
            places = (str(self.kubeconfig), str(self.folder), *self.nodes())
            daemon.start((*program, *places), log_to=self.log, record=self.record)

    def _distribute(self, fresh: Mapping[str, Login], *, at_once: bool) -> None:
        logins = self.logins().values()
        self._on_nodes.write(_of_nodes(logins), fresh, at_once=at_once)
        self._secrets.admit([login for login in logins if login.namespaces])


def _of_nodes(logins: Collection[PodLogin]) -> list[PodLogin]:
    return [login for login in logins if not login.namespaces]
