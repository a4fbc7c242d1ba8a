"""Carries out what a change requires: build, push, copy, apply, and wait for the roll-out, phase by phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from sandbox.app.dev import container_sync
from sandbox.app.dev.changed_files import MOST_COPIED, Copied, DevWork
from sandbox.app.dev.container_sync import Running, SyncFailed
from sandbox.app.dev.dev_report import DevReport, timed
from sandbox.app.dev.dev_steps import programs
from sandbox.components.workloads import restart
from sandbox.components.workloads.charts_step import ChartsStep
from sandbox.components.workloads.step import ApplyStep
from sandbox.errors import SandboxError
from sandbox.images.build_order import bases, waves, with_made_from
from sandbox.images.images_yaml import Entry, FromBuild
from sandbox.images.progress import Result
from sandbox.images.push_step import PushStep
from sandbox.images.sources.image_build import build, named_bases
from sandbox.kube.api import Cluster, Manifest, title
from sandbox.kube.workload_status import WORKLOADS
from sandbox.oci.reference import Target
from sandbox.quantities import count, megabytes
from sandbox.step import Overtaken, Progress, Refreshing, State, Step

# In runc's words, of a container whose program is below a shell.
NO_SHELL = 'exec: "sh": executable file not found'
FOLLOWING = ("load-balancers", "ports", "page")


@dataclass(frozen=True)
class Copies:
    """All files that were copied since their image was built, and the lives of the containers that have them all."""

    copied: Copied
    lives: frozenset[str] = frozenset()


@dataclass
class Rounds:
    """What all rounds of a plan share: its steps for the user's files, and what they were done with last.

    `copied` are images whose containers have files that the image does not have. `loaded`: the last round restarted, or
    told, each program whose files it copied.
    """

    push: PushStep | None
    charts: ChartsStep | None
    apply: ApplyStep
    report: DevReport
    following: Sequence[Step] = ()  # which look at what was applied: addresses and ports of Services, and the page
    copied: dict[Target, Copies] = field(default_factory=dict)
    loaded: bool = True

    @classmethod
    def of(cls, steps: Sequence[Step], report: DevReport) -> Rounds:
        push = next((each for each in steps if isinstance(each, PushStep)), None)
        charts = next((each for each in steps if isinstance(each, ChartsStep)), None)
        following = [step for step in steps if step.name in FOLLOWING]
        apply = next(each for each in steps if isinstance(each, ApplyStep))
        return cls(push, charts, apply, report, following)

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.apply.names.kubeconfig)

    def pods(self) -> list[Manifest]:
        """Return the pods in the namespaces of the project's objects and charts. Raises ClusterError."""
        places = self.apply.namespaces.union(chart.namespace for chart in (self.charts.charts if self.charts else ()))
        cluster = self.cluster
        return [pod for place in places for pod in cluster.list("v1", "Pod", place, selector=self.apply.pods)]

    def run(self, work: DevWork) -> DevWork:
        """Do the work; return what is left: images that failed, which were reported, and what was overtaken.

        Raises SandboxError.
        """
        self.loaded = True
        work = self._synced(work)
        built: list[Entry] = []
        failed: list[Entry] = []
        # New pods begin with the image.
        behind = self.copied.values() if work.manifests else ()
        ordered = _in_order(self._with_made_from([*work.images, *(each.copied.entry for each in behind)]))
        made_from = bases(ordered)
        for entry in ordered:
            if made_from.get(entry.target, frozenset()) & {each.target for each in failed}:
                failed.append(entry)
                continue
            try:
                built.append(self._built(entry))
            except SandboxError as error:
                self.report.failed(error)
                failed.append(entry)
        try:
            if self._pushed(built) or work.manifests:
                self._rolled_out()
        except Overtaken:  # applied again with the next change, and waited for
            return DevWork(images=tuple(failed), manifests=True)
        except SandboxError as error:
            if NO_SHELL in str(error) and self._programs:
                error.fix = "`restart: true` in images.yaml needs `sh` in the image: use a base that has it, or `run:`"
            raise
        return DevWork(images=tuple(failed))

    def _with_made_from(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        every = self.push.images.entries if self.push else ()
        changed = {entry.target: entry for entry in entries}
        affected = with_made_from(changed, bases(every))
        return tuple(({item.target: item for item in every if item.target in affected} | changed).values())

    def _synced(self, work: DevWork) -> DevWork:
        """Copy files into containers; returns the remaining work, with the images for which that is not possible."""
        if not work.copied:
            return work
        registry, pods = self.apply.registry, self.pods()
        containers = {
            each.entry.target: container_sync.running(pods, registry, each.entry.target) for each in work.copied
        }
        lost = tuple(each.entry for each in work.copied if not self._sync(each, containers[each.entry.target]))
        return DevWork(images=(*work.images, *lost), manifests=work.manifests)

    def _sync(self, copied: Copied, into: Sequence[Running]) -> bool:
        target = copied.entry.target
        before = self.copied.get(target, Copies(Copied(copied.entry, {}, ())))
        whole = before.copied.plus(copied)
        late = [each for each in into if each.life not in before.lives]  # these lack the earlier files too
        if not into or (late and len(whole.files) > MOST_COPIED):
            return False
        try:
            with timed(self.report, "sync", str(target)) as phase:
                run = container_sync.by_cluster(self.cluster)
                container_sync.copy(whole, late, run)
                container_sync.copy(copied, [each for each in into if each not in late], run)
                phase.detail = f"{count(len(copied.files), 'file')} into {count(len(into), 'container')}"
        except SyncFailed as error:
            error.fix = "the image is built instead"
            self.report.failed(error)
            return False
        self.copied[target] = Copies(whole, frozenset(each.life for each in into))
        self.loaded &= all(rule.restart or rule.run for rule in copied.rules)
        return True

    def _built(self, entry: Entry) -> Entry:
        if not isinstance(entry, FromBuild) or self.push is None:
            return entry
        engine = self.push.engine
        with timed(self.report, "build", str(entry.target)), named_bases([entry], self.push.images.entries, engine):
            made = build(entry, engine, partial(self.report.progress, "build"), self.push.buildx)
        self.copied.pop(entry.target, None)
        return made

    def _pushed(self, entries: Sequence[Entry]) -> Sequence[Result]:
        if not entries or self.push is None:
            return ()
        with timed(self.report, "push", ", ".join(str(entry.target) for entry in entries)) as phase:
            results = self.push.push(entries, partial(self.report.progress, "push"))
            phase.detail = megabytes(sum(result.size for result in results))
        return results

    def _rolled_out(self) -> None:
        releases = self.charts and replace(self.charts, programs=self._programs)
        if releases and releases.check().state is not State.READY:
            with timed(self.report, "helm", ", ".join(chart.name for chart in releases.charts)):
                releases.apply(Progress(partial(self.report.progress, "helm")))
        if self.apply.check().state is not State.READY:
            with timed(self.report, "apply", "") as phase:
                placed = self.apply.place(partial(self.report.progress, "apply"), wait=False)
                removed = f", {len(placed.removed)} removed" if placed.removed else ""
                phase.detail = f"{count(len(placed.objects), 'object')}{removed}"
            workloads = [title(manifest) for manifest in placed.objects if manifest["kind"] in WORKLOADS]
            with timed(self.report, "roll-out", ", ".join(workloads[:3]) + (" …" if workloads[3:] else "")):
                self.apply.await_ready(placed, partial(self.report.progress, "roll-out"))
            self.apply.remember(placed)
        for step in self.following:
            if step.check().state is State.READY:
                if isinstance(step, Refreshing):
                    step.refresh()
            else:
                with timed(self.report, step.name, step.title):
                    step.apply(Progress(partial(self.report.progress, step.name)))

    @property
    def _programs(self) -> dict[str, restart.Program]:
        return programs(self.push, self.apply.registry)

    @property
    def are_charts_behind(self) -> bool:
        """Tell whether `up` installed charts before the engine had the programs to restart. Raises SandboxError."""
        if self.charts is None or not self.charts.charts or not self._programs:
            return False
        return self.charts.check().state is not State.READY


def _in_order(entries: Sequence[Entry]) -> list[Entry]:
    built = [entry for wave in waves([each for each in entries if isinstance(each, FromBuild)]) for entry in wave]
    return [*(entry for entry in entries if not isinstance(entry, FromBuild)), *built]
