"""The user's Helm charts: installed and upgraded by helm, waited for, and uninstalled when no longer named."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sandbox.bundle.store import Store
from sandbox.components.workloads import chart_dependencies, helm
from sandbox.components.workloads.applying import PATIENCE
from sandbox.components.workloads.chart_archives import ChartArchives
from sandbox.components.workloads.helm import DEPLOYED, Helm, Release
from sandbox.components.workloads.image_names import ImageNames, bring_advice
from sandbox.components.workloads.joining_nodes import await_nodes
from sandbox.components.workloads.restart import Program
from sandbox.config import untyped
from sandbox.config.schema.apply_schema import AnyChart, Chart
from sandbox.errors import SandboxError
from sandbox.kube import manifests
from sandbox.kube.api import Cluster, Manifest, title
from sandbox.kube.apply_attempts import is_unanswered
from sandbox.kube.readiness import Changed
from sandbox.kube.records import Records
from sandbox.kube.workload_status import WORKLOADS, progress
from sandbox.names import Names
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import interruption

RECORD = "charts"
RETRY = 3.0  # seconds between two attempts, while a webhook does not answer

Known = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ChartsStep(NothingToUndo):
    """Installs a release for each chart; a sealed record in the cluster keeps what each was made from.

    It waits for all `nodes` first. A release is uninstalled only when both the record and its own labels say that `up`
    made it. Charts of an addon have a `record` of their own.
    """

    names: Names
    charts: tuple[AnyChart, ...]
    archives: ChartArchives
    images: ImageNames
    store: Store
    requires: tuple[str, ...]
    after: tuple[str, ...] = ()
    programs: Mapping[str, Program] = field(default_factory=dict)  # to restart by a signal, by image (`restart`)
    nodes: Callable[[], Collection[str]] = tuple
    name: str = "charts"
    record: str = RECORD

    @property
    def title(self) -> str:
        return f"Helm: {', '.join(one.name for one in self.charts)}" if self.charts else "Helm charts"

    def check(self) -> Status:
        records = Records.of(self.names)
        cluster, known = records.cluster, _known(records, self.record)
        dropped = self._dropped(known)
        if dropped:
            return Status(State.DRIFTED, f"no longer in the spec: releases {', '.join(dropped)}")
        said = []
        for one in self.charts:
            chart = self.archives.find(one)
            if chart is None:
                return Status(State.ABSENT if not known else State.DRIFTED, f"{one.name} is not pulled")
            release = helm.newest(cluster, chart.name, chart.namespace)
            if release is None:
                return Status(State.ABSENT if not known else State.DRIFTED, f"{chart.name} is not installed")
            lacks = self._lacks(cluster, chart, release, known.get(_key(chart), {}))
            if lacks:
                return Status(State.DRIFTED, f"{chart.name}: {lacks}")
            said.append(f"{chart.name} revision {release.revision}")
        return Status(State.READY, ", ".join(said))

    def apply(self, work: Work) -> None:
        records = Records.of(self.names)
        if self.charts:
            await_nodes(records.cluster, self.nodes(), work.say)
        known = {key: dict(one) for key, one in _known(records, self.record).items()}
        for one in self.charts:
            self._bring(records, here(one, self.archives), known, work)
        for key in self._dropped(known):
            namespace, _, name = key.partition("/")
            release = helm.newest(records.cluster, name, namespace)
            if release is not None and release.ours:
                work.say(f"uninstalling {key}")
                self.program.uninstall(name, namespace, self.names.kubeconfig, work.say)
            del known[key]
            _write(records, known, self.record)
        if not known and self.record == RECORD:
            self.names.charts.unlink(missing_ok=True)

    @property
    def program(self) -> Helm:
        """Return helm. Raises MissingTool."""
        return Helm.find(self.store)

    def _bring(self, records: Records, chart: Chart, known: dict[str, dict[str, Any]], work: Work) -> None:
        """Install or upgrade the release of a chart, and record it."""
        release = helm.newest(records.cluster, chart.name, chart.namespace)
        self._require_ours(release, chart, known)
        objects = self.program.render(chart)
        self.images.require(objects)
        full = self.images.full(self.images.connected(objects))
        # Recorded first, so that every release is known; its digest counts only when it is complete.
        known[_key(chart)] = {"digest": "", "images": list(full)}
        if self.record == RECORD:
            note(self.names)
        _write(records, known, self.record)
        if release is not None and release.state.startswith("pending-"):
            work.say(f"{chart.name} was left {release.state}")
            self.program.recover(chart, self.names.kubeconfig, release.state, work.say)
        work.say(f"{'upgrading' if release else 'installing'} {chart.name}")
        change = self.images.renaming(full) if full else {}
        if change and self.programs:
            change["programs"] = {name: asdict(one) for name, one in self.programs.items()}
        applied = [placed(manifest, chart) for manifest in objects]
        changed = Changed(records.cluster, applied, first=any(map(_runs_first, objects)))
        self._upgrade(chart, change, changed, work)
        known[_key(chart)] = {"digest": self._digest(chart, full), "images": list(full)}
        _write(records, known, self.record)

    def _require_ours(self, release: Release | None, chart: Chart, known: Known) -> None:
        """Raise SandboxError for a release that `up` did not make."""
        if release is None or (release.ours and _key(chart) in known):
            return
        raise SandboxError(
            f"there is a release '{chart.name}' in {chart.namespace} that `up` did not make",
            details=f"revision {release.revision}, {release.state}",
            fix=f"give this one another name (`release:` below `apply`), or: helm --kube-context "
            f"{self.names.cluster} uninstall {chart.name} --namespace {chart.namespace}",
            id="foreign-release",
        )

    def _upgrade(self, chart: Chart, change: Mapping[str, Any], changed: Changed, work: Work) -> None:
        """Have helm install or upgrade the release, again while a webhook does not answer yet."""
        deadline = time.monotonic() + PATIENCE

        def doomed() -> SandboxError | None:
            error = changed.hopeless()
            if changed.waiting:
                work.say(changed.waiting)
            return error

        while True:
            try:
                self.program.upgrade(chart, self.names.kubeconfig, change, work.say, doomed)
            except SandboxError as error:
                if not is_unanswered(error.details) or time.monotonic() >= deadline:
                    more = (one for one in changed.probed() if one not in error.details)
                    error.details = "\n".join((error.details, *more))
                    error.fix = (
                        bring_advice(error.details, self.images.file) or error.fix or "correct that, then sandbox up"
                    )
                    raise
                work.say(f"{chart.name}: once more, when what answers its webhook may be there")
                interruption.pause(RETRY)
            else:
                return

    def _lacks(self, cluster: Cluster, chart: Chart, release: Release, record: Mapping[str, Any]) -> str | None:
        """Return what keeps the release from being as the spec says, and ready; None for nothing."""
        if release.state != DEPLOYED:
            return release.state or "of an unknown state"
        try:
            full = self.images.full(self.images.means(record.get("images", ())))
        except RegistryError as error:
            return error.brief
        if record.get("digest") != self._digest(chart, full):
            return "the chart, its values or its images have changed" if release.ours else "`up` did not make it"
        for one in manifests.parse(release.manifest, origin=chart.name):
            if one["kind"] in WORKLOADS:
                metadata = one["metadata"]
                place = metadata.get("namespace", chart.namespace)
                live = cluster.get(one["apiVersion"], one["kind"], metadata["name"], place)
                lacks = progress(live) if live else None if one["kind"] == "Job" else "is gone"
                if lacks:
                    return f"{title(one)}: {lacks}"
        return None

    def _digest(self, chart: Chart, images: Mapping[str, str]) -> str:
        """Return a digest of everything that a release is made from."""
        names = {image.partition("@")[0] for image in images.values()}
        used = {name: one for name, one in self.programs.items() if name in names}
        return digest(chart, images, [repr(sorted(used.items()))] if used else [])

    def _dropped(self, known: Known) -> list[str]:
        wanted = {_key(one) for one in self.charts}
        return [key for key in known if key not in wanted]


def hooks(manifest: Manifest) -> frozenset[str]:
    """Return the moments at which helm makes the object, none for a usual one (helm.sh/docs/topics/charts_hooks)."""
    said = untyped.at(manifest, "metadata", "annotations", "helm.sh/hook")
    return frozenset(one.strip() for one in str(said).split(",")) if said else frozenset()


def _runs_first(manifest: Manifest) -> bool:
    """Tell whether helm waits for the object before it applies others."""
    return any(one.startswith("pre-") for one in hooks(manifest))


def here(chart: AnyChart, archives: ChartArchives) -> Chart:
    """Return the chart as a local one. Raises SandboxError where it was not pulled, or is gone."""
    found = archives.find(chart)
    if found is None:
        raise SandboxError(f"the archive of the chart {chart.name} is gone", fix="sandbox up")
    return found


def note(names: Names) -> None:
    """Record that the cluster has releases, perhaps: a spec without charts uninstalls them."""
    names.charts.parent.mkdir(parents=True, exist_ok=True)
    names.charts.touch()


def placed(manifest: Manifest, chart: Chart) -> Manifest:
    """Return the object with the namespace that helm gives it."""
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "namespace": metadata.get("namespace", chart.namespace)}}


def _key(chart: AnyChart) -> str:
    return f"{chart.namespace}/{chart.name}"


def _known(records: Records, record: str) -> Known:
    """Return the releases of `up` by namespace/name, each with its digest and its images as the chart names them."""
    try:
        found = json.loads((records.read(record) or {}).get("releases", "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _write(records: Records, known: Known, record: str) -> None:
    records.write(record, {"releases": json.dumps(known, sort_keys=True)})


def digest(chart: Chart, images: Mapping[str, str] = MappingProxyType({}), further: Sequence[str] = ()) -> str:
    """Return a digest of the chart's files and values, and of what else it is made from."""
    summed = hashlib.sha256()
    for path in _files(chart):
        with suppress(FileNotFoundError):  # an editor's file is gone by now; helm tells of one that is missed
            content = path.read_bytes()
            summed.update(f"\0{path.name}\0{len(content)}\0".encode() + content)
    said = [chart.name, chart.namespace, dict(chart.set), sorted(images.items()), *further]
    summed.update(json.dumps(said, sort_keys=True).encode())
    return summed.hexdigest()


def _files(chart: Chart) -> Iterator[Path]:
    """Yield the chart's files in an order that does not depend on where it is, then its values."""
    for _, folder in chart_dependencies.parts(chart.chart):
        inside = sorted(path for path in folder.rglob("*") if path.is_file())
        yield from inside or [folder]
    yield from chart.values
