"""The questions that commands ask before the first change, and how a program without a user answers them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.app import chosen_spec
from sandbox.app.chosen_spec import ChosenSpec
from sandbox.config.schema import Spec, apply_schema
from sandbox.config.schema.origin_schema import Origin
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Home, Names
from sandbox.plan import saved_spec
from sandbox.step import State

if TYPE_CHECKING:  # imported for types only: a push must import little
    from sandbox.app.project.existing_clusters import UserCluster
    from sandbox.engine import Engine
    from sandbox.plan.lifecycle import Found
    from sandbox.step import Step


@dataclass(frozen=True)
class Tenancy:
    """A sandbox in a namespace of an existing cluster that is new there, or was made by another person, the `maker`."""

    name: str
    context: str
    server: str
    namespace: str
    maker: str | None

    @property
    def why(self) -> str:
        return f"it was made by {self.maker}" if self.maker else "nothing of this sandbox is there yet"

    def taken(self) -> UsageError:
        return UsageError(
            f"the sandbox '{self.name}' in {self.namespace} of {self.context} was made by {self.maker}",
            details=f"it would become yours, and `sandbox down` would remove what {self.maker} has there",
            fix="give this one another `name` or namespace; if you have agreed with them: sandbox up --take-over",
            id="not-ours",
        )


# What a command changes, by the name that `Sandbox.alone` gets.
EFFECTS = {
    "up": "objects of the earlier spec that are missing in this one are deleted",
    "dev": "objects and images of the earlier spec are replaced",
    "down": "the sandbox is removed, with all data of its pods",
    "start": "the sandbox is started",
    "stop": "the sandbox is stopped",
    "pause": "the sandbox is paused",
    "snapshot": "the sandbox is paused for seconds, and saved under this name",
    "restore": "its cluster, registry and certificates are replaced by the snapshot",
    "delete": "a snapshot of the sandbox is deleted",
    "push": "images in its registry are replaced; --prune deletes tags that this project does not name",
    "collect": "blobs in its registry that no tag names are deleted",
    "credentials": "the accounts of its pods are changed",
    "renew": "its certificates are replaced",
    "enable": "an addon is installed in its cluster",
    "restart": "the pods of a workload are replaced",
    "disable": "an addon is removed from its cluster, with everything the addon created",
}


@dataclass(frozen=True)
class OtherOrigin:
    """A sandbox that a command is about to change, but that another spec than the present one brought up.

    `doing` is a key of EFFECTS. With `is_moved` the earlier spec is gone and this one is the same, in another folder.
    A new sandbox with a name of its `own` leaves the earlier one as it is.
    """

    name: str
    doing: str
    before: str
    now: Origin
    is_moved: bool = False
    own: str | None = None

    @property
    def brief(self) -> str:
        return f"'{self.name}' was brought up from elsewhere"

    def error(self, fix: str) -> UsageError:
        moved = "\nThis spec is the same: the folder was probably moved." if self.is_moved else ""
        effect = f"it stays, and '{self.own}' is created for this folder" if self.own else EFFECTS[self.doing]
        details = f"before  {self.before}\nnow     {self.now}\n{effect}{moved}"
        return UsageError(self.brief, details=details, fix=fix, id="other-origin")


class Agreement:
    """Answers the questions before any change; a no raises SandboxError.

    This one answers for a program without a user: it declines whatever only a user can allow.
    """

    def other_origin(self, other: OtherOrigin) -> bool:
        """Allow a change to a sandbox that another spec brought up; returns False if that was only shown."""
        raise other.error(f"give this one another name, or: sandbox up -f {shlex.quote(other.now.source)} --yes")

    def existing_cluster(self, spec: Spec, file: Path | None, home: Home, engine: Engine) -> UserCluster | None:
        """Offer the user's own hand-made cluster instead of a new one; `spec` is as it was written."""
        return None

    def lost(self, refusal: UsageError) -> None:
        """Allow a new cluster in place of one that is lost with its data; without consent, `refusal` is the error."""
        raise refusal

    def fetch_tools(self, refusal: SandboxError) -> bool:
        """Allow that missing programs are fetched; returns False if that was only shown, or raises `refusal`."""
        raise refusal

    def recreate(self, found: Found, named: Collection[str]) -> Collection[str]:
        """Choose which outdated steps may be recreated; `named` are the steps of `--recreate`."""
        return named

    def tenancy(self, wanted: Tenancy) -> None:
        if wanted.maker:
            raise wanted.taken()
        raise UsageError(
            f"no user has agreed yet to a sandbox in {wanted.namespace} of {wanted.context}",
            details=wanted.why,
            fix="run `sandbox up` once at a terminal, or with --yes",
            id="consent",
        )


def agree_on_tenancy(steps: Sequence[Step], agreement: Agreement) -> None:
    """Ask before the first change to an existing cluster, if the plan is for one.

    What carries our label and the user's name shows that they have agreed before. Raises SandboxError.
    """
    from sandbox.components.cluster import kubeconfig
    from sandbox.components.cluster.existing.steps import TenancyStep

    for step in steps:
        if not isinstance(step, TenancyStep):
            continue
        is_known = step.names.kubeconfig.exists()
        if (maker := step.maker()) != step.owner:
            server = kubeconfig.server_of(step.names.kubeconfig)
            try:
                agreement.tenancy(Tenancy(step.names.name, step.context, server, step.namespace, maker))
            except SandboxError:
                if not is_known:
                    step.forget()
                raise


def agree_on_origin(names: Names, origin: Origin | None, doing: str, agreement: Agreement) -> None:
    """Ask before a sandbox is changed that another spec than the one from `origin` brought up. Raises SandboxError.

    For a folder that was moved, the answer is kept for all commands.
    """
    before = replaced(names, origin)
    if origin is None or before is None:
        return
    is_moved = _is_moved(names, origin)
    if agreement.other_origin(OtherOrigin(names.name, doing, before, origin, is_moved)) and is_moved:
        saved_spec.record_origin(names, origin)


def _is_moved(names: Names, origin: Origin) -> bool:
    """Return whether the project's folder was moved: the last `up`'s file is gone, and `origin` has the same spec."""
    earlier = saved_spec.origin(names)
    if earlier is None or {earlier.kind, origin.kind} != {"file"} or os.path.lexists(earlier.source):
        return False

    def content(spec: Spec, origin: Origin) -> tuple[str, list[str]]:
        places = (*apply_schema.paths(spec.apply), *((spec.push,) if spec.push else ()))
        return spec.domain, [os.path.relpath(place, Path(origin.source).parent) for place in places]

    before, now = saved_spec.load(names), chosen_spec.read(Path(origin.source))
    return before is not None and content(before, earlier) == content(now, origin)


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
        agreement.other_origin(OtherOrigin(chosen.taken, "up", before, origin, own=names.name))


def agree_on_loss(name: str, statuses: Found, agreement: Agreement) -> None:
    """Ask before a new cluster is made in place of one whose nodes others removed, if so. Raises SandboxError."""
    from sandbox.components.cluster.steps import ClusterStep

    for step, status in statuses:
        if isinstance(step, ClusterStep) and status.state is State.ABSENT and (left := step.lost()):
            lost = "all that its pods stored, and what was applied without this spec"
            refusal = UsageError(
                f"the cluster of '{name}' is gone: its nodes were removed, not by sandbox",
                details=f"lost    {lost}\nleft    {left}\nnow     a new cluster is made, empty until `sandbox up`",
                fix="add --yes; or restore one with its data: sandbox snapshot restore (see sandbox snapshot list)",
                id="lost-data",
            )
            agreement.lost(refusal)


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
