"""What else a cluster has and can have: its addons listed, and enabled or disabled while it is up.

On a cluster of minikube's, a name is one of minikube's own addons; a folder is an addon of the sandbox's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sandbox.app import chosen_spec, context, machine_plan
from sandbox.app.core import Sandbox
from sandbox.components.addons import catalogue
from sandbox.components.addons.addon_manager import AddonManager, lost
from sandbox.components.addons.addon_objects import Record
from sandbox.components.addons.catalogue import Addon, Chosen, Use
from sandbox.components.addons.step import AddonStep
from sandbox.components.cluster.minikube.minikube_addons import MinikubeAddonsStep
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.config import capabilities
from sandbox.config.schema import Spec
from sandbox.config.schema.values import AddonSource
from sandbox.errors import SandboxError, UsageError
from sandbox.fast_dataclass import dataclass
from sandbox.kube.api import ClusterError
from sandbox.plan import lifecycle
from sandbox.report import Reporter
from sandbox.system.wait import WaitTimeout

ANSWERING = 60.0  # seconds; its pods are ready by then, and an ingress controller takes a second or two


@dataclass(frozen=True)
class Row:
    """An addon as it is listed; `state` is `off`, a step's state, or `unknown` when the cluster is not responding.

    `size` are the bytes of a chart's images, None where they are not known before the first `enable`.
    """

    name: str
    state: str
    by: str | None
    source: str
    about: str
    detail: str
    topic: str = catalogue.OTHER
    version: str | None = None
    size: int | None = None
    url: str | None = None


@dataclass(frozen=True)
class Enabled:
    """Where the page of an addon is, and how to use it."""

    url: str | None = None
    told: tuple[str, ...] = ()


def listed(sandbox: Sandbox) -> list[Row]:
    """List the addons there are, who enabled them and their state. Raises SandboxError."""
    own, theirs = _managers(sandbox.spec)
    up = _is_up(own)
    records = own.records() if up else {}
    chosen = {one.addon.name: one for one in own.chosen(records)}
    rows = [_row(own, one, records.get(one.addon.name), up=up) for one in chosen.values()]
    for gone in lost(records):
        rows.append(Row(gone.name, "drifted", gone.by, gone.source, "", "its folder is gone"))
    if theirs:
        return [*rows, *_minikube_rows(theirs, up=up)]
    for addon in catalogue.included():
        if addon.name not in chosen:
            instead = addon.about.instead
            detail = f"in sandbox.yaml, write {instead}" if instead else ""
            row = Row(addon.name, "off" if not instead else "-", None, addon.name, addon.about.title, detail)
            rows.append(replace(row, topic=addon.about.topic, **_chart_facts(own, addon)))
    return rows


def _chart_facts(own: AddonManager, addon: Addon) -> dict[str, Any]:
    """Return what is known of an addon's chart before it is there."""
    chart = addon.about.chart
    return {"version": chart.version, "size": own.size(addon.name)} if chart else {}


def enable(sandbox: Sandbox, addon: str) -> Enabled:
    """Install an addon, by its name or folder, and keep it for this cluster's life. Raises SandboxError."""
    spec, source = sandbox.spec, _source(addon)
    capabilities.require_commandable(spec, source)
    # What is no addon is refused before anything is asked; minikube's own only minikube knows.
    found = None if spec.cluster.supports.own_addons and "/" not in source else catalogue.find_addon(source)
    with sandbox.session.alone(spec.name, "enable"):
        own, theirs = _managers(spec)
        _require_up(own)
        if theirs and found is None:
            _enable_in_minikube(theirs, source, sandbox.session.report)
            return Enabled()
        found = found or catalogue.find_addon(source)
        if found.name in {Path(use.source).name for use in own.uses}:
            raise UsageError(f"sandbox.yaml has '{found.name}' already", fix="sandbox up")
        before = own.records()
        known = before.get(found.name)
        if known and known.by == "command" and known.source != source:
            raise UsageError(
                f"there is another addon '{found.name}', from {known.source}",
                fix=f"sandbox addons disable {found.name}",
            )
        try:
            lifecycle.up([AddonStep(replace(own, asked=(source,)))], sandbox.session.report)
        except BaseException:
            _roll_back(own, before)
            raise
        chosen = next(one for one in own.chosen(own.records()) if one.addon.name == found.name)
        return Enabled(own.url(chosen), (*own.told(chosen), *_unanswered(spec, own, chosen)))


def disable(sandbox: Sandbox, addon: str, say: Callable[[str], None]) -> None:
    """Take away everything that an addon brought, and what is there for it alone. Raises SandboxError."""
    called = Path(addon).name
    with sandbox.session.alone(sandbox.name, "disable"):
        own, theirs = _managers(sandbox.spec)
        if theirs:
            _require_up(own)
            if called not in own.records():
                _disable_in_minikube(theirs, called)
                say(f"{called} is disabled")
                return
        if called in {Path(use.source).name for use in own.uses}:
            raise UsageError(f"sandbox.yaml has '{called}'", fix="remove it from `addons` there, then `sandbox up`")
        _require_up(own)
        records = own.records()
        if called not in records:
            enabled = ", ".join(records) or "none"
            raise UsageError(f"'{called}' is not enabled", fix=f"enabled are: {enabled}")
        for gone in (called, *_unneeded(own, records, called)):
            own.remove(records[gone], say)
            say(f"{gone} removed")


def _managers(spec: Spec) -> tuple[AddonManager, MinikubeAddonsStep | None]:
    """Find the manager of the sandbox's own addons and, on a cluster of minikube's, that one's."""
    chosen_spec.require_own_cluster(spec, "an addon")
    context.trust(spec)
    steps, _, _ = machine_plan.steps(spec)
    own = next(step.manager for step in steps if isinstance(step, AddonStep))
    return own, next((step for step in steps if isinstance(step, MinikubeAddonsStep)), None)


def _source(addon: str) -> str:
    """Take the name, or the folder's absolute path."""
    try:
        TypeAdapter(AddonSource).validate_python(addon)
    except ValidationError as error:
        raise UsageError(f"{addon!r} {error.errors()[0]['ctx']['error']}") from error
    return str(Path(addon).resolve()) if "/" in addon else addon


def _is_up(own: AddonManager) -> bool:
    try:
        return own.cluster.is_up()
    except ClusterError:
        return False


def _require_up(own: AddonManager) -> None:
    """Raise SandboxError unless the cluster answers."""
    if not _is_up(own):
        raise SandboxError(f"the sandbox '{own.images.sandbox.name}' is not up", fix="sandbox up", id="not-up")


def _roll_back(own: AddonManager, before: Mapping[str, Record]) -> None:
    """Remove what a failed `enable` began."""
    for name, record in own.records().items():
        if name not in before:
            own.remove(record)


def _unneeded(own: AddonManager, records: Mapping[str, Record], name: str) -> list[str]:
    """List the others that are there for the addon `name` alone. Raises UsageError when another needs that one."""
    others = {one: record for one, record in records.items() if one != name}
    left = {one.addon.name: one for one in own.chosen(others)}
    if name in left:
        raise UsageError(f"'{left[name].by}' needs '{name}'", fix=f"disable {left[name].by} first")
    return [one for one, record in others.items() if one not in left and record.by == name]


def _unanswered(spec: Spec, own: AddonManager, chosen: Chosen) -> Iterator[str]:
    """Wait until the addon's page is served; yield what it answers instead when it is not."""
    host = own.host(chosen)
    proof = next((step for step in machine_plan.steps(spec)[0] if isinstance(step, HttpsStep)), None) if host else None
    if host and proof:
        try:
            proof.wait_answered(host, timeout=ANSWERING)
        except WaitTimeout as error:
            yield f"it is not served yet: {error.details or error.brief}; look again with: sandbox doctor tls {host}"


def _row(own: AddonManager, one: Chosen, record: Record | None, *, up: bool) -> Row:
    state, detail = "unknown", "the cluster is not responding"
    if up:
        status = own.status_of(one, record)
        state, detail = status.state.value, status.detail
    row = Row(one.addon.name, state, one.by, one.source, one.addon.about.title, detail)
    return replace(row, topic=one.addon.about.topic, url=own.url(one), **_chart_facts(own, one.addon))


def _minikube_rows(step: MinikubeAddonsStep, *, up: bool) -> Iterator[Row]:
    record = step.record() if up else {}
    for name, enabled in sorted(step.listed().items()):
        trouble = step.problem_of(name) if up and enabled else None
        state = "drifted" if trouble else "ready" if enabled else "off"
        yield Row(name, state, record.get(name), name, "minikube's", trouble or "")


def _enable_in_minikube(step: MinikubeAddonsStep, addon: str, report: Reporter) -> None:
    """Enable one that the spec does not name, until it is disabled."""
    if addon in {use.source for use in step.uses}:
        raise UsageError(f"sandbox.yaml has '{addon}' already", fix="sandbox up")
    lifecycle.up([replace(step, asked=(Use(addon),))], report)


def _disable_in_minikube(step: MinikubeAddonsStep, addon: str) -> None:
    """Disable one that `enable` or minikube's own command enabled."""
    if addon in {use.source for use in step.uses}:
        raise UsageError(f"sandbox.yaml has '{addon}'", fix="remove it from `addons` there, then `sandbox up`")
    there = step.listed()
    if not there.get(addon):
        enabled = ", ".join(name for name, on in there.items() if on) or "none"
        raise UsageError(f"'{addon}' is not enabled", fix=f"enabled are: {enabled}")
    step.disable(addon)
