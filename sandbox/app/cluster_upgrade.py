"""Upgrades a running sandbox to another Kubernetes in place, from a snapshot that is restored on failure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.app import chosen_spec, machine_plan, snapshots
from sandbox.app.core import Sandbox
from sandbox.app.session import restoring
from sandbox.bundle.system_images import OwnImages
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.cluster.kind.cluster_config import in_reach
from sandbox.components.cluster.kind.node_upgrade import Begun, NodeUpgrade
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Engine
from sandbox.errors import Away, SandboxError, UsageError
from sandbox.kube.api import ClusterError
from sandbox.plan import lifecycle, saved_spec
from sandbox.system import interruption
from sandbox.system.wait import retry

FORBIDDEN = 403
TRIES, PAUSE = 4, 10.0  # seconds, of the start after an upgrade


@dataclass(frozen=True)
class Upgraded:
    """The Kubernetes versions before and after, and the snapshot from before; none if nothing had to be done."""

    before: str
    after: str
    snapshot: str | None


class UpgradeFailed(SandboxError):
    """The nodes could not be upgraded; the sandbox is as it was before."""

    id = "upgrade-failed"


def upgrade(sandbox: Sandbox) -> Upgraded:
    """Upgrade the sandbox's cluster in place to the Kubernetes of its spec, by default that of this release.

    Workloads and volumes stay. On failure the snapshot that was saved first is restored. Raises SandboxError.
    """
    chosen_spec.require_own_cluster(sandbox.spec, "sandbox upgrade")
    wanted = sandbox.spec.cluster.kubernetes
    with sandbox.alone("upgrade"):
        spec = chosen_spec.brought_up(sandbox.name)
        if not spec.cluster.supports.node_image:
            raise UsageError(
                f"'{sandbox.name}' has a cluster of {spec.cluster.provider}'s, which is not upgraded in place",
                fix="sandbox up --recreate cluster, with another `kubernetes` in the spec's `cluster`",
            )
        cluster = spec.cluster.model_copy(update={"kubernetes": wanted})
        return _Upgrading(sandbox, spec.model_copy(update={"cluster": cluster}), Engine.connect()).run()


@dataclass(frozen=True)
class _Upgrading:
    """One upgrade: the sandbox, its spec with the wanted version, and the engine; the caller has the lock."""

    sandbox: Sandbox
    spec: ResolvedSpec
    engine: Engine

    def run(self) -> Upgraded:
        names = self.sandbox.names
        steps, _, own = machine_plan.steps(self.spec)
        own.require(self.spec.cluster.kubernetes)
        change = self._change(own)
        before, begun = kind_provider.recorded_version(self.engine, self.sandbox.names.node), change.begun()
        self._require(before, own.kubernetes, begun)
        if before == own.kubernetes and begun is None:
            saved_spec.save(names, self.spec)
            return Upgraded(before, before, None)
        lifecycle.up([step for step in steps if step.name == "images"], self.sandbox.session.report)
        if own.published and self.engine.image_id(change.image) is None:  # the image made from it does not suffice
            with self.sandbox.session.task(f"Node image {own.kubernetes}") as task:
                self.engine.pull(change.image, task.say)
                task.done = "pulled"
        snapshot = begun.snapshot if begun else self._saved(own.kubernetes)
        try:
            change.begin(snapshot)
            with self.sandbox.session.task(f"Kubernetes {own.kubernetes}") as task, lifecycle.around("upgrade"):
                change.run(task.say)
                task.done = own.kubernetes
        except BaseException as error:
            self._back(snapshot, error)
            raise
        saved_spec.save(names, self.spec)
        try:
            self._settle()
        except SandboxError as error:
            error.add_note(f"Kubernetes is {own.kubernetes} now; as before: sandbox snapshot restore {snapshot}")
            raise
        return Upgraded(before, own.kubernetes, snapshot)

    def _settle(self) -> None:
        """Wait for kube-proxy and whatever else kubeadm replaced, as `start` does.

        A kubelet of another Kubernetes may restart its API server once more, in the middle of an answer, and one that
        has just started refuses everything until it has read who has which rights.
        """

        def passes(found: Exception | None) -> bool:
            return isinstance(found, Away) or (isinstance(found, ClusterError) and found.status == FORBIDDEN)

        retry(self.sandbox.start_locked, tries=TRIES, transient=passes, wait=lambda _: interruption.pause(PAUSE))

    def _change(self, own: OwnImages) -> NodeUpgrade:
        """Return the upgrade of the cluster's nodes. Raises UsageError unless all of them run."""
        names = self.sandbox.names
        nodes = kind_provider.nodes(self.engine, names)
        stopped = [one.name for one in nodes.all() if not one.running]
        if stopped or not nodes.all():
            raise UsageError(
                f"the cluster of '{names.name}' does not run",
                details=f"stopped: {', '.join(stopped)}" if stopped else "it has no nodes",
                fix=f"sandbox start {names.name}",
                id="stopped",
            )
        return NodeUpgrade(
            engine=self.engine,
            names=names,
            nodes=tuple(one for one in nodes.every() if self.engine.container(one)),
            image=own.published.get("node") or own.references["node"],  # its images still packed
            version=own.kubernetes,
            keeps_etcd=own.source == "bundle",
        )

    def _require(self, before: str, after: str, begun: Begun | None) -> None:
        """Raise UsageError where kubeadm does not upgrade the version `before` to `after`."""
        if begun and begun.to != after:
            raise UsageError(
                f"an upgrade of '{self.sandbox.name}' to {begun.to} was interrupted",
                details=f"the spec says {after}",
                fix=f"`sandbox upgrade` with `kubernetes: {begun.to}` ends it; to go back: "
                f"sandbox snapshot restore {begun.snapshot} {self.sandbox.name}",
            )
        if begun or before == after or in_reach(before, after):
            return
        raise UsageError(
            f"'{self.sandbox.name}' runs Kubernetes {before}, which is not upgraded in place to {after}",
            details="kubeadm goes to a later patch or to the next minor version, and not back",
            fix="name that version in the spec's `cluster`, or make a new cluster: "
            f"sandbox down {self.sandbox.name}, then sandbox up",
        )

    def _saved(self, after: str) -> str:
        """Save the sandbox as it is, and return the snapshot's name."""
        snapshot = f"before-{after.replace('.', '-')}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        saving = snapshots.saving(self.engine, self.sandbox.names)
        with self.sandbox.session.task(f"Snapshot {snapshot}") as task:
            saving.save(snapshot, task.say)
            task.done = "saved"
        return snapshot

    def _back(self, snapshot: str, error: BaseException) -> None:
        """Restore the snapshot and start it. Raises UpgradeFailed, except for errors that end the command anyway."""
        name = self.sandbox.name
        interruption.clear()
        try:
            with self.sandbox.session.task(f"Snapshot {snapshot}") as task:
                restoring(self.sandbox.names, self.engine).restore(snapshots.store().find(name, snapshot), task.say)
                task.done = "restored"
            self.sandbox.start_locked()
        except SandboxError as failed:
            raise UpgradeFailed(
                f"the upgrade of '{name}' failed, and so did the way back",
                details=f"{error}\n{failed}",
                fix=f"sandbox snapshot restore {snapshot} {name}",
            ) from error
        if isinstance(error, SandboxError):
            raise UpgradeFailed(
                f"'{name}' could not be upgraded, and runs as before",
                details=str(error),
                fix="see `sandbox explain upgrade-failed`",
            ) from error
