"""Renews a sandbox's certificates now, and waits until they are served."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.app import machine_plan
from sandbox.app.core import Sandbox
from sandbox.app.views.known_sandboxes import require_known
from sandbox.components.certificates.authority_step import AuthorityStep
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.kube.api import trouble_of
from sandbox.plan import lifecycle


class Outcome(enum.Enum):
    """How a renewal ended: SERVED, or WRITTEN alone since the cluster cannot be reached; or nothing was changed."""

    SERVED = enum.auto()
    WRITTEN = enum.auto()
    DECLINED = enum.auto()
    CERT_MANAGER = enum.auto()


@dataclass(frozen=True)
class Renewal:
    """What was renewed: the leaves by name, and whether the root is another now."""

    outcome: Outcome
    leaves: Collection[str] = ()
    replaced_root: bool = False


def renew(sandbox: Sandbox, *, authority: bool, root: bool, agreed: Callable[[], bool]) -> Renewal:
    """Renew the leaves, and with `authority` or `root` what is above them too.

    `agreed` is asked before a root that there is changes, and may raise. Raises SandboxError.
    """
    require_known(sandbox.name)
    spec = sandbox.spec.model_copy(update={"push": None, "apply": ()})
    with sandbox.alone("renew"):
        steps, _, _ = machine_plan.steps(spec)
        made = next(step for step in steps if isinstance(step, AuthorityStep))
        now = datetime.now(UTC)
        if not (made.leaves or authority or root):
            return Renewal(Outcome.CERT_MANAGER)
        replaces = made.keystore.replaces_root(made.domains, now=now, authority=authority, root=root)
        if replaces and made.keystore.root.has_cert and not agreed():
            return Renewal(Outcome.DECLINED)
        domains = (*made.domains, *made.unvouched) if replaces else made.domains
        made.keystore.renew(domains, made.leaves, now=now, authority=authority, root=root, reserve=made.reserve())
        if made.unvouched and replaces:
            steps, _, _ = machine_plan.steps(spec)  # there is more that the new root vouches for
        if trouble_of(sandbox.names.kubeconfig) is not None:
            return Renewal(Outcome.WRITTEN, tuple(made.leaves), replaces)
        renewed = [step for step in steps if made.name in (step.name, *step.requires)]
        lifecycle.up(renewed, sandbox.session.report, keep=True)
        for step in steps:
            if isinstance(step, HttpsStep):
                step.renew(sandbox.session.say)
    return Renewal(Outcome.SERVED, tuple(made.leaves), replaces)
