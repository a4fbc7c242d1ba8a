"""Helm charts: installed and upgraded by helm, waited for, and uninstalled when no longer named."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sandbox.bundle.store import Store
from sandbox.components.workloads.applying import PATIENCE, await_nodes
from sandbox.components.workloads.chart_archives import ChartArchives
from sandbox.components.workloads.helm import Helm, Release
from sandbox.components.workloads.image_names import ImageNames, bring_advice
from sandbox.components.workloads.moved_hosts import HostNames
from sandbox.components.workloads.restart import Program
from sandbox.config.schema.apply_schema import AnyChart, Chart
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, Manifest, title
from sandbox.kube.apply_attempts import is_unanswered
from sandbox.kube.readiness import wait_ready
from sandbox.kube.records import Records
from sandbox.kube.workload_status import WORKLOADS, progress
from sandbox.names import Names
from sandbox.oci.oci_errors import RegistryError
from sandbox.quantities import plural
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import files
from sandbox.system.wait import wait_until

RECORD = "charts"
READY = 300.0  # seconds that pods may take
# The hooks that an installation or an upgrade runs (helm.sh/docs/topics/charts_hooks).
RUN = {"pre-install", "post-install", "pre-upgrade", "post-upgrade", "crd-install"}
RETRY = 3.0  # seconds between two attempts, while a webhook does not answer

Recorded = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ChartsStep(NothingToUndo):
    """Installs a release for each chart; a sealed record in the cluster keeps what each was made from.

    It waits for all `nodes` first. Only recorded releases are changed and uninstalled. Charts of an addon have a
    `record` of their own.
    """

    names: Names
    charts: tuple[AnyChart, ...]
    images: ImageNames
    requires: tuple[str, ...]
    after: tuple[str, ...] = ()
    hosts: HostNames = field(default_factory=HostNames)
    programs: Callable[[], Mapping[str, Program]] = dict  # to restart by a signal, by image (`restart`), once built
    nodes: Callable[[], Collection[str]] = tuple
    name: str = "charts"
    record: str = RECORD

    @property
    def title(self) -> str:
        return f"Helm: {', '.join(chart.name for chart in self.charts)}" if self.charts else "Helm charts"

    def check(self) -> Status:
        records = Records.of(self.names)
        recorded = _read(records, self.record)
        if dropped := self._dropped(recorded):
            return Status(State.DRIFTED, f"no longer in the spec: releases {', '.join(dropped)}")
        missing = State.DRIFTED if recorded else State.ABSENT
        revisions = []
        archives = ChartArchives(self.names.home.charts)
        for source in self.charts:
            chart = archives.find(source)
            if chart is None:
                return Status(missing, f"{source.name} is not pulled")
            release = self._release(chart.name, chart.namespace)
            if release is None:
                return Status(missing, f"{chart.name} is not installed")
            if problem := self._problem(records.cluster, chart, release, recorded.get(_key(chart), {})):
                return Status(State.DRIFTED, f"{chart.name}: {problem}")
            revisions.append(f"{chart.name} revision {release.revision}")
        return Status(State.READY, ", ".join(revisions))

    def apply(self, work: Work) -> None:
        records = Records.of(self.names)
        if self.charts:
            await_nodes(records.cluster, self.nodes(), work.say)
        recorded = {key: dict(entry) for key, entry in _read(records, self.record).items()}
        for source in self.charts:
            chart = ChartArchives(self.names.home.charts).pulled(source)
            self._install(records, chart, recorded, work)
        for key in self._dropped(recorded):
            namespace, _, name = key.partition("/")
            release = self._release(name, namespace)
            if release is not None and _is_recorded(release, recorded[key]):
                work.say(f"uninstalling {key}")
                self.program.uninstall(name, namespace, self.names.kubeconfig, work.say)
            del recorded[key]
            _write(records, recorded, self.record)
        if not recorded and self.record == RECORD:
            self.names.charts.unlink(missing_ok=True)

    @property
    def program(self) -> Helm:
        return Helm.find(Store(self.names.home.bundle))

    def _release(self, name: str, namespace: str) -> Release | None:
        return self.program.release(name, namespace, self.names.kubeconfig)

    def _install(self, records: Records, chart: Chart, recorded: dict[str, dict[str, Any]], work: Work) -> None:
        release, key = self._release(chart.name, chart.namespace), _key(chart)
        if release is not None and not (key in recorded and _is_recorded(release, recorded[key])):
            raise SandboxError(
                f"there is a release '{chart.name}' in {chart.namespace} that `up` did not make",
                details=f"revision {release.revision}, {release.state}",
                fix=f"give this one another name (`release:` below `apply`), or: helm --kube-context "
                f"{self.names.cluster} uninstall {chart.name} --namespace {chart.namespace}",
                id="foreign-release",
            )
        objects = self.program.render(chart)
        self.images.require(objects)
        full = self.images.full(self.images.connected(objects))
        # Recorded first, so that every release is known; its digest counts only when it is complete.
        recorded[key] = {"digest": "", "images": list(full)}
        if self.record == RECORD:
            note(self.names)
        _write(records, recorded, self.record)
        if release is not None and release.state.startswith("pending-"):
            work.say(f"{chart.name} was left {release.state}")
            self.program.recover(chart, self.names.kubeconfig, release.state, work.say)
        work.say(f"{'upgrading' if release else 'installing'} {chart.name}")
        programs = self.programs() if full else {}
        changes = {
            "images": full,
            "fields": self.images.fields,
            "hosts": asdict(self.hosts),
            "programs": {name: asdict(program) for name, program in programs.items()},
        }
        try:
            self._upgrade(chart, changes if full or self.hosts.differ else {}, work)
            release = self._release(chart.name, chart.namespace)
            installed = release.objects(chart.namespace) if release else []
            work.say(f"waiting for the pods of {chart.name}")
            wait_ready(records.cluster, installed, timeout=READY, say=work.say)
        except SandboxError as error:
            advice = bring_advice(error.details, self.images.file)
            error.fix = advice or error.fix or "correct that, then sandbox up"
            raise
        made = {"digest": self._digest(chart, full), "images": list(full)}
        recorded[key] = {**made, "installed": release.installed if release else ""}
        _write(records, recorded, self.record)

    def _upgrade(self, chart: Chart, changes: Mapping[str, Any], work: Work) -> None:
        def unanswered() -> str | None:
            try:
                self.program.upgrade(chart, self.names.kubeconfig, changes, work.say)
            except SandboxError as error:
                if not is_unanswered(error.details):
                    raise
                return error.details
            return None

        wait_until(unanswered, what=f"installing {chart.name}", timeout=PATIENCE, pause=RETRY, say=work.say)

    def _problem(self, cluster: Cluster, chart: Chart, release: Release, entry: Mapping[str, Any]) -> str | None:
        if release.state != "deployed":
            return release.state
        try:
            full = self.images.full(self.images.means(entry.get("images", ())))
        except RegistryError as error:
            return error.brief
        if not _is_recorded(release, entry):
            return "`up` did not make it"
        if entry.get("digest") != self._digest(chart, full):
            return "the chart, its values or its images have changed"
        workloads = (manifest for manifest in release.objects(chart.namespace) if manifest["kind"] in WORKLOADS)
        for manifest in workloads:
            live = cluster.live(manifest)
            problem = progress(live) if live else None if manifest["kind"] == "Job" else "is gone"
            if problem:
                return f"{title(manifest)}: {problem}"
        return None

    def _digest(self, chart: Chart, images: Mapping[str, str]) -> str:
        names = {image.partition("@")[0] for image in images.values()}
        used = {name: program for name, program in self.programs().items() if name in names}
        changes = [repr(change) for change in (sorted(used.items()), self.hosts.differ and self.hosts) if change]
        return digest(chart, images, changes)

    def _dropped(self, recorded: Recorded) -> list[str]:
        keys = {_key(chart) for chart in self.charts}
        return [key for key in recorded if key not in keys]


def note(names: Names) -> None:
    """Record that the cluster may have releases: a spec without charts uninstalls them."""
    names.charts.parent.mkdir(parents=True, exist_ok=True)
    names.charts.touch()


def _key(chart: AnyChart) -> str:
    return f"{chart.namespace}/{chart.name}"


def _is_recorded(release: Release, entry: Mapping[str, Any]) -> bool:
    # Another release of the same name has another time; the entry of an unfinished installation has none.
    return bool(entry.get("installed", release.installed) == release.installed)


def _read(records: Records, record: str) -> Recorded:
    content: Recorded = json.loads((records.read(record) or {}).get("releases", "{}"))
    return content


def _write(records: Records, recorded: Recorded, record: str) -> None:
    records.write(record, {"releases": json.dumps(recorded, sort_keys=True)})


def digest(chart: Chart, images: Mapping[str, str] = MappingProxyType({}), further: Sequence[str] = ()) -> str:
    sha256 = hashlib.sha256()
    for path in _files(chart):
        with suppress(OSError):  # an editor's file may be gone by now; helm reports what it cannot read
            content = path.read_bytes()
            sha256.update(f"\0{path.name}\0{len(content)}\0".encode() + content)
    facts = [chart.name, chart.namespace, dict(chart.set), sorted(images.items()), *further]
    sha256.update(json.dumps(facts, sort_keys=True).encode())
    return sha256.hexdigest()


def _files(chart: Chart) -> Iterator[Path]:
    inside = sorted(path for path in chart.chart.rglob("*") if path.is_file())
    yield from inside or [chart.chart]
    yield from filter(Path.is_file, chart.values)  # no pipe, which would be waited for


@dataclass(frozen=True)
class RenderedCharts:
    """Charts as the objects that they render to, for a cluster in which only one `namespace` is the sandbox's.

    Without a release nothing remembers what a chart has made up, such as a password, so the objects are kept in files
    until the chart or its values change. Helm's hooks are objects like others there.
    """

    charts: tuple[AnyChart, ...]
    names: Names
    namespace: str

    @property
    def title(self) -> str:
        return f"{plural(len(self.charts), 'chart')} {', '.join(chart.name for chart in self.charts)}"

    def objects(self) -> list[dict[str, Any]]:
        charts = map(ChartArchives(self.names.home.charts).pulled, self.charts)
        return [
            manifest
            for chart in charts
            for manifest in self._kept(chart.model_copy(update={"namespace": self.namespace}))
        ]

    def _kept(self, chart: Chart) -> list[dict[str, Any]]:
        path, chart_digest = self.names.rendered_charts / f"{chart.name}.json", digest(chart)
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["digest"] == chart_digest:
                return list(kept["objects"])
        rendered = Helm.find(Store(self.names.home.bundle)).render(chart)
        objects = [manifest for manifest in rendered if _is_applied(manifest)]
        files.make_private_dir(path.parent)
        files.write_atomic(path, json.dumps({"digest": chart_digest, "objects": objects}).encode(), mode=0o600)
        return objects


def _is_applied(manifest: Manifest) -> bool:
    annotations = manifest["metadata"].get("annotations") or {}
    hooks = {moment.strip() for moment in str(annotations.get("helm.sh/hook") or "").split(",") if moment}
    return not hooks or not RUN.isdisjoint(hooks)
