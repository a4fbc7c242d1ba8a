"""Adds, renews and removes the accounts at other registries that pods of a running sandbox have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.app import chosen_spec, context
from sandbox.app.views.known_sandboxes import require_up
from sandbox.components.credentials.delivery import Renewed
from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.components.credentials.pod_logins import PodLogin
from sandbox.components.credentials.registry_accounts import resolved
from sandbox.config.schema import Spec
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.engine import Engine
from sandbox.errors import UsageError
from sandbox.plan import providers


@dataclass(frozen=True)
class PodAccounts:
    """A sandbox that is up, and the accounts of its pods."""

    spec: Spec
    credentials: PodCredentials

    @classmethod
    def of(cls, spec: Spec) -> PodAccounts:
        chosen_spec.require_own_cluster(spec, "an account for pods")
        names = context.home().sandbox(spec.name)
        require_up(names)
        engine = Engine.connect()
        return cls(spec, PodCredentials(engine, providers.nodes(engine, names), names, context.environ()))

    def all(self) -> dict[str, PodLogin]:
        return self.credentials.logins.read()

    def login(self, name: str) -> PodLogin:
        logins = self.all()
        if name not in logins:
            fix = f"there are: {', '.join(logins)}" if logins else "sandbox credentials add"
            raise UsageError(f"{self.spec.name} has no credentials '{name}'", fix=fix)
        return logins[name]

    def add(self, entry: Credentials) -> PodLogin:
        """Give pods the accounts of `entry`, until they are removed. Raises UsageError if the spec lists it."""
        entry = resolved(entry, context.environ())
        self._require_not_in_spec(entry.secret, "give --secret another name")
        self.credentials.add(entry)
        return self.login(entry.secret)

    def remove(self, name: str) -> None:
        self._require_not_in_spec(self.login(name).secret, "remove them there, then `sandbox up`")
        self.credentials.forget([name])

    def refresh(self, names: Sequence[str]) -> Renewed:
        """Get new tokens for `names`, or for all, whether or not the present ones are about to expire."""
        return self.credentials.renew([self.login(name) for name in names] or list(self.all().values()))

    def _require_not_in_spec(self, name: str, fix: str) -> None:
        if any(entry.secret == name for entry in self.spec.credentials):
            raise UsageError(f"sandbox.yaml has the credentials '{name}'", fix=fix)
