"""The questions that `up` asks before the first change, and how a program without a user answers them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sandbox.components.cluster import kubeconfig
from sandbox.config.schema import Spec
from sandbox.config.schema.origin_schema import Origin
from sandbox.engine import Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Home, Names
from sandbox.plan import saved_spec
from sandbox.plan.lifecycle import Found
from sandbox.step import Step

if TYPE_CHECKING:
    from sandbox.app.existing_clusters import UserCluster


@dataclass(frozen=True)
class Tenancy:
    """A sandbox in a namespace of an existing cluster, and why the user has to be asked: `why` is for people."""

    name: str
    context: str
    server: str
    namespace: str
    why: str


class Agreement(Protocol):
    """Answers the questions of `up`, by the user or in their place; a no raises SandboxError before any change."""

    def replace(self, names: Names, origin: Origin | None) -> None:
        """Allow that a spec from `origin` replaces one from another source with the same name."""

    def existing_cluster(self, spec: Spec, file: Path | None, home: Home, engine: Engine) -> UserCluster | None:
        """Offer the user's own hand-made cluster instead of a new one; `spec` is as it was written."""

    def recreate(self, found: Found, named: Collection[str]) -> Collection[str]:
        """Choose the stale steps that may be recreated; `named` are those that the caller names."""

    def tenancy(self, wanted: Tenancy) -> None:
        """Allow that a sandbox is made in an existing cluster."""


class Refusal:
    """The answer of a program: it declines whatever only a user can allow."""

    def replace(self, names: Names, origin: Origin | None) -> None:
        if origin and (known := replaced(names, origin)):
            fix = f"give this one another name, or: sandbox up -f {shlex.quote(origin.source)} --yes"
            raise other_origin(names, f"before  {known}\nnow     {origin}", fix)

    def existing_cluster(self, spec: Spec, file: Path | None, home: Home, engine: Engine) -> UserCluster | None:
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


def other_origin(names: Names, details: str, fix: str) -> UsageError:
    """Return the error for a spec that would replace one from another source."""
    return UsageError(f"'{names.name}' was brought up from elsewhere", details=details, fix=fix, id="other-origin")


def agree_on_tenancy(steps: Sequence[Step], agreement: Agreement) -> None:
    """Ask before the first change to an existing cluster, if the plan is for one.

    What carries our label and the user's name shows that they have agreed before. Raises SandboxError.
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
    """Return the other source that the sandbox was brought up from, if there is one."""
    if origin is None or not names.spec.exists():
        return None
    known = saved_spec.origin(names)
    if known is None:  # an earlier release recorded none; a spec from elsewhere must not benefit from that
        return "by an earlier release, which did not record the origin" if origin.is_fetched else None
    if origin.may_replace(known):
        return None
    is_gone = known.kind == "file" and not os.path.lexists(known.source)
    return f"{known} (not there any more)" if is_gone else str(known)
