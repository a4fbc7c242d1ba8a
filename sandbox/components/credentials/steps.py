"""Steps for accounts at other registries: the early test that they work, and their Secrets in the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.components.credentials.login_delivery import Origin, PodLogin, file_state
from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.components.credentials.registry_accounts import mint, resolved
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.names import Names
from sandbox.oci.credential import CredentialsUnusable
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import daemon


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
        pods, spec = self.credentials, self._spec
        logins = pods.logins()
        for name in spec.keys() - logins.keys():  # the others stay, whatever becomes of this one
            return Status(State.DRIFTED if pods.folder.exists() else State.ABSENT, name)
        now = datetime.now(UTC)
        for name, login in logins.items():
            if name not in spec and login.origin == "spec":
                return Status(State.DRIFTED, f"{name} is no longer in the spec")
            if change := _change(spec.get(name, login.entry), login, now):
                return Status(State.DRIFTED, change)
        if pending := pods.pending():
            return Status(State.DRIFTED, pending)
        if any(login.expires for login in logins.values()) and daemon.find(pods.record) is None:
            return Status(State.DRIFTED, f"no process renews them; the log of the last one is {pods.log}")
        shown = (
            f"{login.secret} until {login.expires:%H:%M} UTC" if login.expires else login.secret
            for login in logins.values()
        )
        return Status(State.READY, ", ".join(shown) or "none")

    def apply(self, work: Work) -> None:
        """Request what is new, changed, missing or about to expire, and remove what the spec no longer lists."""
        pods, spec = self.credentials, self._spec
        logins = pods.logins()
        if dropped := [name for name, login in logins.items() if login.origin == "spec" and name not in spec]:
            pods.forget(dropped)
        added = [login.entry for name, login in logins.items() if login.origin == "command" and name not in spec]
        now, incomplete = datetime.now(UTC), pods.pending()
        fresh: dict[PodLogin, Login] = {}
        for entry in (*spec.values(), *added):
            login = logins.get(entry.secret)
            if login is None or incomplete or _change(entry, login, now):
                work.say(entry.secret)
                origin: Origin = "spec" if entry.secret in spec else "command"
                fresh |= pods.requested(entry, origin, now=now)
        pods.deliver(fresh)
        pods.keep_renewed()

    def stop(self) -> bool:
        return daemon.end(self.credentials.record)

    def undo(self) -> bool:
        return self.revoke() if self.adopted else self.credentials.remove()

    def revoke(self) -> bool:
        withdrawn = self.credentials.withdraw()
        return self.credentials.remove() or withdrawn

    @property
    def _spec(self) -> dict[str, Credentials]:
        return {entry.secret: resolved(entry, self.credentials.environ) for entry in self.entries}


def _change(entry: Credentials, login: PodLogin, now: datetime) -> str | None:
    if login.entry != entry:
        return f"{entry.secret} is of another entry"
    if login.file != file_state(entry.file):
        return f"{entry.secret} is from before {entry.file} was changed"
    if login.expires and login.is_due(now):
        verb = "ended" if now >= login.expires else "ends"
        return f"{entry.secret} {verb} at {login.expires:%Y-%m-%d %H:%M} UTC"
    return None
