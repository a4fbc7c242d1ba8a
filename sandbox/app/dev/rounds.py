"""Carries out what a change requires: build, push, copy, apply, and wait for the roll-out, phase by phase."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sandbox.app.dev import container_sync
from sandbox.app.dev.changed_files import Copied, DevWork
from sandbox.app.dev.container_sync import Running, SyncFailed
from sandbox.app.dev.dev_report import DevReport
from sandbox.components.workloads import restart
from sandbox.components.workloads.charts_step import ChartsStep
from sandbox.components.workloads.step import ApplyStep
from sandbox.errors import SandboxError
from sandbox.images.build_order import bases, waves, with_made_from
from sandbox.images.images_yaml import Entry, FromBuild
from sandbox.images.push_step import PushStep
from sandbox.images.sources.image_build import build, named_bases
from sandbox.kube.api import Cluster, Manifest, title
from sandbox.kube.workload_status import WORKLOADS
from sandbox.oci.reference import Target
from sandbox.quantities import count, megabytes
from sandbox.step import Overtaken, Progress, Refreshing, State, Step

FOLLOWING = ("load-balancers", "ports", "page")


def prepared(steps: Sequence[Step], overtaken: Callable[[], bool]) -> tuple[Step, ...]:
    """Return a plan whose steps for manifests and charts put the shell before the programs to restart.

    Once another change has `overtaken` what is applied, its pods are not waited for.
    """
    push = next((each for each in steps if isinstance(each, PushStep)), None)

    def with_shell(step: Step) -> Step:
        match step:
            case ApplyStep():

                def change(objects: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
                    restarted = programs(push, step.registry)  # as the engine has the images by then
                    return [restart.supervised(each, restarted) for each in objects] if restarted else objects

                return replace(step, change=change, overtaken=overtaken)
            case ChartsStep() if step.charts:
                return replace(step, programs=partial(programs, push, step.images.prefix))
            case _:
                return step

    return tuple(map(with_shell, steps))


def programs(push: PushStep | None, prefix: str) -> dict[str, restart.Program]:
    """Return the programs to restart by a signal, by their images' names in the registry `prefix` without a digest."""
    by_image: dict[str, restart.Program] = {}
    for entry in push.images.entries if push else ():
        if push and isinstance(entry, FromBuild) and any(rule.restart for rule in entry.sync):
            target = entry.target
            config = (push.engine.inspect_image(entry.engine_name) or {}).get("Config") or {}
            program = restart.Program(tuple(config.get("Entrypoint") or ()), tuple(config.get("Cmd") or ()))
            by_image[f"{prefix}/{target.repository}:{target.tag}"] = program
    return by_image


@dataclass
class Phase:
    """A running phase; `detail` is reported at its end."""

    detail: str = ""


@dataclass
class Rounds:
    """What all rounds of a plan share: its steps for the user's files, and what they were done with last.

    `copied` are images without the newest files, and the containers (`Running.life`) that have got all of them.
    `loaded`: the last round restarted, or told, each program whose files it copied.
    """

    push: PushStep | None
    charts: ChartsStep | None
    apply: ApplyStep
    report: DevReport
    following: Sequence[Step] = ()  # which look at what was applied: addresses and ports of Services, and the page
    copied: dict[Target, frozenset[str]] = field(default_factory=dict)
    loaded: bool = True

    @classmethod
    def of(cls, steps: Sequence[Step], report: DevReport) -> Rounds:
        push = next((each for each in steps if isinstance(each, PushStep)), None)
        charts = next((each for each in steps if isinstance(each, ChartsStep)), None)
        apply = next(each for each in steps if isinstance(each, ApplyStep))
        return cls(push, charts, apply, report, [step for step in steps if step.name in FOLLOWING])

    def pods(self) -> list[Manifest]:
        """Return the pods in the namespaces of the project's objects and charts. Raises ClusterError."""
        places = self.apply.namespaces.union(chart.namespace for chart in (self.charts.charts if self.charts else ()))
        cluster = Cluster(self.apply.names.kubeconfig)
        return [pod for place in places for pod in cluster.list("v1", "Pod", place, selector=self.apply.pods)]

    def run(self, work: DevWork) -> DevWork:
        """Do the work; return what is left: images that failed, which were reported, and what was overtaken.

        Raises SandboxError.
        """
        self.loaded = True
        images = [*work.images, *self._not_copied(work.copied)]
        if work.manifests and self.push:  # new pods begin with the image
            images += [entry for entry in self.push.images.entries if entry.target in self.copied]
        built: list[Entry] = []
        failed: list[Entry] = []
        ordered = self._with_made_from(images)
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
        if built and self.push:
            with self._phase("push", ", ".join(str(entry.target) for entry in built)) as phase:
                results = self.push.push(built, partial(self.report.progress, "push"))
                phase.detail = megabytes(sum(result.size for result in results))
            for entry in built:
                self.copied.pop(entry.target, None)
        try:
            if (built and self.push) or work.manifests:
                self._roll_out()
        except Overtaken:  # applied again with the next change, and waited for
            return DevWork(images=tuple(failed), manifests=True)
        return DevWork(images=tuple(failed))

    def _with_made_from(self, entries: Sequence[Entry]) -> list[Entry]:
        every = self.push.images.entries if self.push else ()
        changed = {entry.target: entry for entry in entries}
        affected = with_made_from(changed, bases(every))
        images = ({item.target: item for item in every if item.target in affected} | changed).values()
        others = [entry for entry in images if not isinstance(entry, FromBuild)]
        return others + [
            each for wave in waves([each for each in images if isinstance(each, FromBuild)]) for each in wave
        ]

    def _not_copied(self, copied: Sequence[Copied]) -> list[Entry]:
        pods, registry = self.pods() if copied else [], self.apply.registry
        containers = ((each, container_sync.running(pods, registry, each.entry.target)) for each in copied)
        return [each.entry for each, into in containers if not self._is_copied(each, into)]

    def _is_copied(self, copied: Copied, into: Sequence[Running]) -> bool:
        target, lives = copied.entry.target, frozenset(each.life for each in into)
        if not into or not lives <= self.copied.get(target, lives):  # a new container lacks the earlier files
            return False
        try:
            with self._phase("sync", str(target)) as phase:
                container_sync.copy(copied, into, Cluster(self.apply.names.kubeconfig))
                phase.detail = f"{count(len(copied.files), 'file')} into {count(len(into), 'container')}"
        except SyncFailed as error:
            error.fix = "the image is built instead"
            self.report.failed(error)
            return False
        self.copied[target] = lives
        self.loaded &= all(rule.restart or rule.run for rule in copied.rules)
        return True

    def _built(self, entry: Entry) -> Entry:
        if not isinstance(entry, FromBuild) or self.push is None:
            return entry
        engine = self.push.engine
        with self._phase("build", str(entry.target)), named_bases([entry], self.push.images.entries, engine):
            return build(entry, engine, partial(self.report.progress, "build"), self.push.buildx)

    def _roll_out(self) -> None:
        releases = self.charts
        if releases and releases.check().state is not State.READY:
            with self._phase("helm", ", ".join(chart.name for chart in releases.charts)):
                releases.apply(Progress(partial(self.report.progress, "helm")))
        if self.apply.check().state is not State.READY:
            with self._phase("apply") as phase:
                placed = self.apply.place(partial(self.report.progress, "apply"), wait=False)
                removed = f", {len(placed.removed)} removed" if placed.removed else ""
                phase.detail = f"{count(len(placed.objects), 'object')}{removed}"
            workloads = [title(manifest) for manifest in placed.objects if manifest["kind"] in WORKLOADS]
            with self._phase("roll-out", ", ".join(workloads[:3]) + (" …" if workloads[3:] else "")):
                self.apply.await_ready(placed, partial(self.report.progress, "roll-out"))
            self.apply.remember(placed)
        for step in self.following:
            if step.check().state is not State.READY:
                with self._phase(step.name, step.title):
                    step.apply(Progress(partial(self.report.progress, step.name)))
            elif isinstance(step, Refreshing):
                step.refresh()

    @contextmanager
    def _phase(self, name: str, what: str = "") -> Iterator[Phase]:
        begun, phase = time.monotonic(), Phase()
        yield phase
        self.report.phase(name, what, time.monotonic() - begun, phase.detail)
