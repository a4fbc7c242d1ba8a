"""The user's own manifests: applied, waited for, and removed when they are not in the files any more."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.components.workloads import applying
from sandbox.components.workloads.charts_step import RenderedCharts
from sandbox.components.workloads.image_names import ImageNames, bring_advice
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, Manifest, Say, title
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import LAST, ordered
from sandbox.kube.readiness import wait_ready
from sandbox.kube.records import ObjectKey, Records, existing_objects, find_object, remove_objects
from sandbox.kube.workload_status import WORKLOADS, progress
from sandbox.names import Names
from sandbox.oci.oci_errors import RegistryError
from sandbox.quantities import count
from sandbox.step import NothingToUndo, Overtaken, State, Status, Work

RECORD = "applied"
TIMEOUT = 300.0
CORRECT = "correct that, then sandbox up"


@dataclass(frozen=True)
class Placed:
    """Objects as they were applied, all places for the record, and those `removed`."""

    objects: tuple[Manifest, ...]
    keys: tuple[ObjectKey, ...]
    removed: tuple[ObjectKey, ...]


@dataclass(frozen=True, kw_only=True)
class OneNamespace:
    """The namespace of an existing cluster that all objects go to, those too that `charts` render to.

    `records` returns what was recorded there, `registry` what images of the sandbox's registry are called there, and
    `adapted` the objects as they are applied there. `pods` selects those that are not the sandbox's own.
    """

    name: str
    pods: str
    records: Callable[[], Records]
    registry: Callable[[], str]
    adapted: Callable[[Sequence[dict[str, Any]]], Sequence[dict[str, Any]]]
    charts: RenderedCharts | None = None


@dataclass(frozen=True)
class ApplyStep(NothingToUndo):
    """Applies the objects in order, with the present `images`; a sealed record in the cluster keeps what was applied.

    It waits for all `nodes` first. `change` is made to the objects before; once another change has `overtaken` them,
    their pods are not waited for. Recorded objects that the manifests do not contain any more are deleted, except for
    those that may contain data, which are named. In an existing cluster all goes `within` a namespace.
    """

    names: Names
    manifests: tuple[dict[str, Any], ...]
    images: ImageNames
    requires: tuple[str, ...]
    after: tuple[str, ...] = ()
    nodes: Callable[[], Collection[str]] = tuple
    name: str = "apply"
    within: OneNamespace | None = None
    change: Callable[[Sequence[dict[str, Any]]], Sequence[dict[str, Any]]] = lambda objects: objects
    overtaken: Callable[[], bool] = lambda: False
    applied: Callable[[Cluster, Manifest], None] = lambda cluster, manifest: None  # called for each applied object

    @property
    def title(self) -> str:
        number = count(len(self.manifests), "user manifest") if self.manifests else ""
        charts = self._charts.title if self._charts else ""
        return ", ".join(filter(None, (number, charts))) or "User manifests"

    def check(self) -> Status:
        records = self.records
        cluster, record = records.cluster, applying.read(records, RECORD)
        if record is None:
            is_empty = not self.manifests and not self._charts
            return Status(State.READY, "none") if is_empty else Status(State.ABSENT)
        try:
            placed = self._placed(self._written())
        except RegistryError as error:
            return Status(State.UNSEEN, error.brief)
        keys = frozenset(map(ObjectKey.of, placed))
        dropped = record.dropped(keys)
        if dropped:
            return Status(State.DRIFTED, f"no longer in the manifests: {', '.join(map(str, dropped))}")
        if record.digest and record.digest != applying.digest(placed):
            return Status(State.DRIFTED, "the manifests or their images have changed")
        for manifest in placed:
            if fault := applying.fault(cluster, manifest, "gone" if record.digest else "not there yet"):
                return Status(State.DRIFTED, fault)
        if not record.digest:
            return Status(State.DRIFTED, "the last `up` did not come to its end")
        kept = [str(key) for key in record.keys if key not in keys]
        return Status(State.READY, f"left for you to delete: {', '.join(kept)}" if kept else "")

    def apply(self, work: Work) -> None:
        if self.manifests:
            applying.await_nodes(self.records.cluster, self.nodes(), work.say)
        placed = self.place(work.say)
        work.say("waiting for the pods")
        self.await_ready(placed, work.say)
        self.remember(placed)

    def await_ready(self, placed: Placed, say: Say) -> None:
        """Wait until the workloads are ready. Raises Overtaken, and SandboxError with the pods' messages."""
        try:
            cluster = self.records.cluster
            wait_ready(cluster, placed.objects, timeout=TIMEOUT, say=say, check=self._require_newest)
        except SandboxError as error:
            if not isinstance(error, Overtaken):
                error.fix = error.fix or bring_advice(str(error), self.images.file) or CORRECT
            raise

    def _require_newest(self) -> None:
        if self.overtaken():
            raise Overtaken("the files have changed again: pods are not waited for")

    def place(self, say: Say, *, wait: bool = True) -> Placed:
        """Apply the objects; delete those no longer wanted, which without `wait` may take its time."""
        records = self.records
        cluster, before = records.cluster, applying.read(records, RECORD) or applying.Applied()
        written = self._written()
        self.images.require(written)  # before anything is applied
        objects = self._placed(written)
        keys = tuple(map(ObjectKey.of, objects))
        # Recorded first, so that every object is known; they count as applied only when all are there.
        recorded = (*before.keys, *keys)
        applying.write(records, RECORD, recorded)

        def attempt(manifest: Manifest) -> str | None:
            ours, context = before.keys, self.names.cluster
            problem = applying.attempt_changed(cluster, manifest, ours=ours, context=context, say=say)
            if problem is None:
                self.applied(cluster, manifest)
            return problem

        def remove(keys: Sequence[ObjectKey]) -> tuple[ObjectKey, ...]:
            if keys:
                say(f"removing {', '.join(map(str, keys))}")
            return remove_objects(cluster, keys, wait=wait)

        dropped = before.dropped(keys)
        webhooks = [key for key in dropped if key.kind in LAST]
        removed = remove(webhooks)  # first, since they refuse objects if nothing answers them
        applying.apply_all(objects, attempt, say)
        removed += remove([key for key in dropped if key not in webhooks])
        gone = dropped if wait else ()
        return Placed(tuple(objects), tuple(key for key in recorded if key not in gone), removed)

    def remember(self, placed: Placed) -> None:
        """Record that the objects are applied and ready; one that a finalizer holds stays recorded until it is gone."""
        records = self.records
        existing = existing_objects(records.cluster, placed.keys, held=True)
        keys = (key for key in placed.keys if key in existing)
        applying.write(records, RECORD, keys, applying.digest(placed.objects))

    def _placed(self, written: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        objects = self.images.written(written)
        adapted = self.within.adapted(objects) if self.within else objects
        spaces = ((manifest, self._namespace(manifest)) for manifest in adapted)
        placed = [{**manifest, "metadata": {**manifest["metadata"], "namespace": space}} for manifest, space in spaces]
        return list(self.change(placed))

    @property
    def registry(self) -> str:
        """The registry's name in images of pods. Raises SandboxError while the sandbox has no registry."""
        return self.within.registry() if self.within else self.images.prefix

    @property
    def pods(self) -> str:
        return self.within.pods if self.within else ""

    @property
    def namespaces(self) -> frozenset[str]:
        if self.within:
            return frozenset({self.within.name})
        spaces = (manifest["metadata"]["name"] for manifest in self.manifests if manifest["kind"] == "Namespace")
        return frozenset({*map(str, filter(None, map(self._namespace, self.manifests))), *spaces, "default"})

    @property
    def records(self) -> Records:
        return self.within.records() if self.within else Records.of(self.names)

    @property
    def _charts(self) -> RenderedCharts | None:
        return self.within.charts if self.within else None

    def _written(self) -> Sequence[dict[str, Any]]:
        return ordered((*self.manifests, *self._charts.objects())) if self._charts else self.manifests

    def _namespace(self, manifest: Manifest) -> str | None:
        if manifest["kind"] == "Namespace":
            return None
        return self.within.name if self.within else manifest["metadata"].get("namespace", "default")


@dataclass(frozen=True)
class WorkloadsStep(NothingToUndo):
    """Waits, after a start, for every workload that was applied last; the manifests may be gone."""

    names: Names
    requires: tuple[str, ...] = ("cluster",)
    name: str = "workloads"
    title: str = "Your workloads"

    def check(self) -> Status:
        for live in self._live():
            if pending := progress(live):
                return Status(State.DRIFTED, f"{title(live)}: {pending}")
        return Status(State.READY)

    def apply(self, work: Work) -> None:
        wait_ready(Cluster(self.names.kubeconfig), self._live(), timeout=TIMEOUT, say=work.say)

    def _live(self) -> list[dict[str, Any]]:
        records = Records.of(self.names)
        record = applying.read(records, RECORD) or applying.Applied()
        objects = (find_object(records.cluster, key) for key in record.keys if key.kind in WORKLOADS)
        return [live for live in objects if live and not is_leaving(live)]
