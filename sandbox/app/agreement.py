"""What `up` needs its user to agree to before the first change, and what a program may not agree to in their place."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sandbox.components.cluster import kubeconfig
from sandbox.config.schema import Spec
from sandbox.config.schema.origin_schema import Origin
from sandbox.engine import Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.fast_dataclass import dataclass
from sandbox.names import Home, Names
from sandbox.plan import saved_spec
from sandbox.plan.lifecycle import Found
from sandbox.step import Step

if TYPE_CHECKING:
    from sandbox.app.existing_clusters import Neighbour
    from sandbox.app.source import Fetched


@dataclass(frozen=True)
class Tenancy:
    """A sandbox in a namespace of a cluster that exists, and why its user is to be asked: `why` is for people."""

    name: str
    context: str
    server: str
    namespace: str
    why: str


class Agreement(Protocol):
    """Asks the user, or answers for them; what is declined raises SandboxError, before anything is changed."""

    def replace(self, names: Names, origin: Origin | None) -> None:
        """Let a spec from `origin` take the place of one from elsewhere with its name."""

    def demands(self, home: Home, project: Fetched, spec: Spec) -> bool:
        """Let a spec that others wrote have what it asks for; False where that is only told."""

    def neighbour(self, spec: Spec, file: Path | None, home: Home, engine: Engine) -> Neighbour | None:
        """Offer a cluster that the user made by hand in place of a new one; `spec` is as it was written."""

    def recreate(self, found: Found, named: Collection[str]) -> Collection[str]:
        """Choose the stale steps that may be recreated; `named` are those that the caller names."""

    def tenancy(self, wanted: Tenancy) -> None:
        """Let a sandbox be made in a cluster that exists."""


class Refusal:
    """A program's answer: it does not speak for its user."""

    def replace(self, names: Names, origin: Origin | None) -> None:
        known = saved_spec.origin(names)
        if known and origin and not origin.may_replace(known):
            raise UsageError(
                f"'{names.name}' was brought up from elsewhere",
                details=f"before  {known}\nnow     {origin}",
                fix=f"give this one another name, or: sandbox up -f {shlex.quote(origin.source)} --yes",
                id="other-origin",
            )

    def demands(self, home: Home, project: Fetched, spec: Spec) -> bool:
        raise UsageError(
            f"'{spec.name}' comes from elsewhere, and you have not agreed to what it asks for",
            details="\n".join(trust_lines(project, spec)),
            fix=f"sandbox up --from {shlex.quote(project.origin.source)} once, which asks",
            id="untrusted",
        )

    def neighbour(self, spec: Spec, file: Path | None, home: Home, engine: Engine) -> Neighbour | None:
        return None

    def recreate(self, found: Found, named: Collection[str]) -> Collection[str]:
        return named

    def tenancy(self, wanted: Tenancy) -> None:
        raise UsageError(
            f"no user has agreed yet to a sandbox in {wanted.namespace} of {wanted.context}",
            details=wanted.why,
            fix="run `sandbox up` once at a terminal, or with --yes",
            id="consent",
        )


def agree_on_tenancy(steps: Sequence[Step], agreement: Agreement) -> None:
    """Ask before the first change to a cluster that exists, if the plan is for one.

    What is there with our label and the user's name tells that they have agreed. Raises SandboxError.
    """
    from sandbox.components.cluster.existing.steps import TenancyStep

    for step in steps:
        if isinstance(step, TenancyStep) and (why := step.strangeness()) is not None:
            server = kubeconfig.server_of(step.names.kubeconfig)
            try:
                agreement.tenancy(Tenancy(step.names.name, step.context, server, step.namespace, why))
            except SandboxError:
                step.forget()
                raise


def replaced(names: Names, origin: Origin | None) -> str | None:
    """Name the other source that the sandbox was brought up from, if there is one."""
    if origin is None or not names.spec.exists():
        return None
    known = saved_spec.origin(names)
    if known is None:  # an earlier release kept none; a spec from elsewhere does not profit from that
        return "by an earlier release, which did not record the origin" if origin.is_fetched else None
    return None if origin.may_replace(known) else str(known)


def trust_lines(found: Fetched, spec: Spec) -> tuple[str, ...]:
    """Say where the spec is from, and what it asks for beyond its project. Raises UsageError for unreadable files."""
    from sandbox.app import spec_demands

    asked = spec_demands.beyond(spec, found.root)
    programs = ("programs     the bundle's kind, kubectl and images run on this machine",) if found.bundle else ()
    beyond = (*programs, *asked) or ("nothing beyond its own folder",)
    return (f"from         {found.origin}", *beyond)
