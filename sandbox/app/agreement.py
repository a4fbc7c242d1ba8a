"""The questions that commands ask before the first change, and how a program without a user answers them."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from sandbox.app.chosen_spec import ChosenSpec
from sandbox.config.schema.origin_schema import Origin
from sandbox.errors import SandboxError, UsageError
from sandbox.names import LABEL, Names
from sandbox.plan import saved_spec
from sandbox.step import State

if TYPE_CHECKING:  # imported for types only: a push must import little
    from sandbox.components.cluster.existing.steps import TenancyStep
    from sandbox.plan.lifecycle import Found
    from sandbox.step import Step


# What a command deletes or replaces, by the name that `Sandbox.alone` gets.
EFFECTS = {
    "down": "the sandbox is removed, with all data of its pods",
    "restore": "its cluster, registry and certificates are replaced by the snapshot",
    "delete": "a snapshot of the sandbox is deleted",
    "push": "images in its registry are replaced; --prune deletes tags that this project does not name",
    "collect": "blobs in its registry that no tag names are deleted",
    "renew": "its certificates are replaced",
    "disable": "an addon is removed from its cluster, with everything the addon created",
}


class Agreement:
    """Answers the questions before any change; this one is for a program without a user, and declines them all."""

    def allow(self, refusal: SandboxError) -> bool:
        """Allow what `refusal` says needs the user's consent; returns False if that was only shown.

        Raises `refusal` without consent.
        """
        raise refusal

    def recreate(self, found: Found, named: Collection[str]) -> Collection[str]:
        """Choose which outdated steps may be recreated; `named` are the steps of `--recreate`."""
        return named


def agree_on_tenancy(steps: Sequence[Step], agreement: Agreement) -> None:
    """Ask before the first change to an existing cluster, if the plan is for one.

    What carries our label and the user's name shows that they have agreed before. Raises SandboxError.
    """
    from sandbox.components.cluster.existing.steps import TenancyStep

    for step in steps:
        if not isinstance(step, TenancyStep):
            continue
        is_known = step.names.kubeconfig.exists()
        if (maker := step.maker()) != step.owner:
            try:
                agreement.allow(_tenancy(step, maker))
            except SandboxError:
                if not is_known:
                    step.forget()
                raise


def _tenancy(step: TenancyStep, maker: str | None) -> UsageError:
    from sandbox.components.cluster import kubeconfig

    name = step.names.name
    if maker:
        return UsageError(
            f"the sandbox '{name}' in {step.namespace} of {step.context} was made by {maker}",
            details=f"it would become yours, and `sandbox down` would remove what {maker} has there",
            fix="give this one another `name` or namespace; if you have agreed with them: sandbox up --take-over",
            id="not-ours",
        )
    details = (
        f"context    {step.context} ({kubeconfig.server_of(step.names.kubeconfig)})",
        f"namespace  {step.namespace}: nothing of this sandbox is there yet",
        f"what       objects labelled {LABEL}={name} in that namespace, and no others; the namespace itself if it does "
        "not exist; `sandbox down` removes all of it",
    )
    fix = "run `sandbox up` once at a terminal, or add --yes"
    return UsageError(
        f"'{name}' would be created in an existing cluster", details="\n".join(details), fix=fix, id="consent"
    )


def agree_on_origin(names: Names, origin: Origin | None, doing: str, agreement: Agreement) -> None:
    """Ask before a sandbox is changed that another spec than the one from `origin` brought up. Raises SandboxError.

    `doing` is the command; only `up` and `dev` bring this spec up instead.
    """
    before = replaced(names, origin)
    if origin is None or before is None:
        return
    if doing in ("up", "dev"):
        effect = "objects of the earlier spec that are missing in this one are deleted"
        another = f"create another one from this spec: sandbox {doing} ANOTHER-NAME"
        fix = f"add --yes to replace it; or {another}; or run: sandbox down {names.name}"
    else:
        effect = EFFECTS.get(doing, "the sandbox of the earlier spec is changed")
        fix = "add --yes if you mean that sandbox; else set another `name` in this spec"
    agreement.allow(_other_origin(names.name, before, origin, effect, fix))


def _other_origin(name: str, before: str, now: Origin, effect: str, fix: str) -> UsageError:
    details = f"before  {before}\nnow     {now}\n{effect}"
    return UsageError(f"'{name}' was brought up from elsewhere", details=details, fix=fix, id="other-origin")


def agree_on_own_name(names: Names, chosen: ChosenSpec, agreement: Agreement) -> None:
    """Ask before a new sandbox gets a name of its own, since that of another file has its name. Raises SandboxError."""
    origin = chosen.origin
    if chosen.may_rename and origin and origin.kind == "file" and saved_spec.is_of_another_file(names, origin):
        raise UsageError(
            f"'{names.name}' was brought up from elsewhere while this command waited",
            fix="run it again: this one gets a name of its own",
            id="other-origin",
        )
    before = chosen.taken and replaced(names.home.sandbox(chosen.taken), origin)
    if chosen.taken and before and origin:
        effect = f"it stays, and '{names.name}' is created for this folder"
        fix = f"add --yes to create '{names.name}' next to it"
        agreement.allow(_other_origin(chosen.taken, before, origin, effect, fix))


def agree_on_loss(name: str, statuses: Found, agreement: Agreement) -> None:
    """Ask before a new cluster is made in place of one whose nodes others removed, if so. Raises SandboxError."""
    from sandbox.components.cluster.steps import ClusterStep

    for step, status in statuses:
        if isinstance(step, ClusterStep) and status.state is State.ABSENT and step.is_lost():
            lost = "all that its pods stored, and what was applied without this spec"
            left = "perhaps unnamed volumes, which nothing uses: docker volume ls --filter dangling=true"
            refusal = UsageError(
                f"the cluster of '{name}' is gone: its nodes were removed, not by sandbox",
                details=f"lost    {lost}\nleft    {left}\nnow     a new cluster is made, empty until `sandbox up`",
                fix="add --yes; or restore one with its data: sandbox snapshot restore (see sandbox snapshot list)",
                id="lost-data",
            )
            agreement.allow(refusal)


def replaced(names: Names, origin: Origin | None) -> str | None:
    """Return where the sandbox was brought up from, if a spec from `origin` may not replace that."""
    if origin is None or not names.spec.exists():
        return None
    earlier = saved_spec.origin(names)
    if earlier is None:  # a program's own spec; one from elsewhere must not benefit from that
        return "by a program, without a file" if origin.is_fetched else None
    if origin.may_replace(earlier):
        return None
    is_gone = earlier.kind == "file" and not os.path.lexists(earlier.source)
    return f"{earlier} (not there any more)" if is_gone else str(earlier)
