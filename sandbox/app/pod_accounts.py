"""Adds, renews and removes the accounts at other registries that pods of a running sandbox have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.app import chosen_spec, context
from sandbox.app.known_sandboxes import require_up
from sandbox.components.cluster.minikube import registry_creds
from sandbox.components.credentials.kept_secret import Held
from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.components.credentials.registry_accounts import mint, resolved
from sandbox.components.credentials.renewal_daemon import Renewed, renew
from sandbox.config.schema import Spec
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.engine import Engine
from sandbox.errors import UsageError
from sandbox.names import SYSTEM_NAMESPACE
from sandbox.plan import providers

IGNORED = "only credentials of the spec or of `sandbox credentials add` on this machine are used"


@dataclass(frozen=True)
class PodAccounts:
    """A sandbox that is up, with the services that bring accounts to its pods."""

    spec: Spec
    delivery: PullSecrets
    credentials: PodCredentials

    @classmethod
    def of(cls, spec: Spec) -> PodAccounts:
        """Return them for a sandbox that is up in its own cluster; raise SandboxError otherwise."""
        chosen_spec.require_own_cluster(spec, "an account for pods")
        names = context.home().sandbox(spec.name)
        require_up(names)
        nodes = providers.nodes(Engine.connect(), names)
        return cls(spec, PullSecrets.of(names), PodCredentials(nodes, names, context.environ()))

    @property
    def in_addon(self) -> tuple[str, ...]:
        """Return the kinds of accounts that minikube's addon registry-creds has, given by any command."""
        if not self.spec.cluster.supports.own_addons:
            return ()
        held = registry_creds.held(self.delivery.cluster)
        return tuple(kind for kind, values in held.items() if values and registry_creds.is_set(values))

    def known(self, secret: str) -> Held:
        """Return the entry of that name. Raises UsageError."""
        held = self.delivery.held()
        if secret not in held:
            if secret in self.delivery.ignored():
                raise UsageError(
                    f"the Secret '{secret}' in {SYSTEM_NAMESPACE} is not from a command of this user",
                    details=IGNORED,
                    fix=f"sandbox credentials add, with --secret {secret}, or for one of sandbox.yaml: sandbox up",
                )
            fix = f"there are: {', '.join(held)}" if held else "sandbox credentials add"
            raise UsageError(f"{self.spec.name} has no credentials '{secret}'", fix=fix)
        return held[secret]

    def listed(self, secret: str) -> bool:
        """Tell whether the spec lists it."""
        return any(entry.secret == secret for entry in self.spec.credentials)

    def add(self, entry: Credentials) -> Held:
        """Give pods the accounts of `entry`, until they are removed. Raises UsageError if the spec lists it."""
        entry = resolved(entry, context.environ())
        if self.listed(entry.secret):
            raise UsageError(f"sandbox.yaml has the credentials '{entry.secret}'", fix="give --secret another name")
        self.delivery.keep(entry, mint(entry, context.environ(), now=datetime.now(UTC)), "command")
        self.credentials.deliver()
        return self.known(entry.secret)

    def remove(self, secret: str) -> None:
        """Remove the accounts in `secret` from every namespace. Raises UsageError if the spec lists it."""
        if secret not in self.delivery.ignored():
            self.known(secret)
        if self.listed(secret):
            raise UsageError(f"sandbox.yaml has the credentials '{secret}'", fix="remove them there, then `sandbox up`")
        self.delivery.forget([secret])
        self.credentials.deliver()

    def refresh(self, secrets: Sequence[str]) -> Renewed:
        """Get new tokens for `secrets`, or for all, whether or not the present ones are about to expire."""
        wanted = [self.known(secret) for secret in secrets] or list(self.delivery.held().values())
        renewed = renew(self.delivery, wanted, context.environ(), now=datetime.now(UTC))
        self.credentials.deliver()
        return renewed
