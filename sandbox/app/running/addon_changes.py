"""Lists the addons of a running cluster, and enables or disables them.

On a minikube cluster a name is one of minikube's own addons; a folder is an addon of the sandbox's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.app import chosen_spec, context, machine_plan
from sandbox.app.core import Sandbox
from sandbox.app.session import Session
from sandbox.app.views.known_sandboxes import require_up
from sandbox.components.addons import catalogue
from sandbox.components.addons.addon_file import OTHER
from sandbox.components.addons.addon_manager import AddonManager, lost
from sandbox.components.addons.addon_objects import Record
from sandbox.components.addons.catalogue import Addon, ChosenAddon, WantedAddon
from sandbox.components.addons.step import AddonStep
from sandbox.components.cluster.minikube.minikube_addons import MinikubeAddonsStep
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.config import capabilities, loader
from sandbox.config.schema import Spec
from sandbox.config.schema.values import AddonSource
from sandbox.errors import UsageError
from sandbox.kube.api import trouble_of
from sandbox.plan import lifecycle
from sandbox.system.wait import WaitTimeout

REMOVE = "remove it from `addons` there, then `sandbox up`"
ANSWERING = 60.0  # seconds; its pods are ready by then, and an ingress controller takes a second or two


@dataclass(frozen=True)
class Row:
    """A row of the list; `state` is `off`, a step's state, or `unknown` when the cluster is not responding.

    `size` is the size of a chart's images in bytes, None where it is not known before the first `enable`; `untested`
    tells that its real images never ran.
    """

    name: str
    state: str
    by: str | None
    source: str
    about: str
    detail: str
    topic: str = OTHER
    version: str | None = None
    size: int | None = None
    url: str | None = None
    untested: bool = False


@dataclass(frozen=True)
class Enabled:
    """An enabled addon: the address of its page, and how to use it, a line each."""

    url: str | None = None
    instructions: tuple[str, ...] = ()


def listed(sandbox: Sandbox) -> list[Row]:
    manager, minikube = _managers(sandbox.spec)
    up = trouble_of(sandbox.names.kubeconfig) is None
    records = manager.records() if up else {}
    chosen = {addon.name: addon for addon in manager.chosen(records)}
    rows = [_row(manager, addon, records.get(name), up=up) for name, addon in chosen.items()]
    for gone in lost(records):
        rows.append(Row(gone.name, "drifted", gone.by, gone.source, "", "its folder is gone"))
    if minikube:
        return [*rows, *_minikube_rows(minikube, up=up)]
    for addon in catalogue.included():
        if addon.name not in chosen:
            instead = addon.about.instead
            detail = f"in sandbox.yaml, write {instead}" if instead else ""
            row = Row(addon.name, "off" if not instead else "-", None, addon.name, addon.about.title, detail)
            rows.append(replace(row, **_facts(manager, addon)))
    return rows


def _facts(manager: AddonManager, addon: Addon) -> dict[str, Any]:
    about = addon.about
    chart = {"version": about.chart.version, "size": manager.charts.size(addon.name)} if about.chart else {}
    return {"topic": about.topic, "untested": about.untested, **chart}


def enable(sandbox: Sandbox, addon: str) -> Enabled:
    """Install an addon, by its name or folder, and keep it for the life of this cluster. Raises SandboxError."""
    spec, source = sandbox.spec, _source(addon)
    capabilities.require_commandable(spec, source)
    # A mistyped name is refused before anything is asked; names of minikube's own addons only minikube knows.
    included = None if catalogue.is_minikubes(spec, source) else catalogue.find_addon(source)
    with sandbox.alone("enable"):
        manager, minikube = _managers(spec)
        require_up(sandbox.names)
        if minikube and included is None:
            _enable_in_minikube(minikube, source, sandbox.session)
            return Enabled()
        name = (included or catalogue.find_addon(source)).name
        _require_not_in_spec(manager, name, fix="sandbox up")
        before = manager.records()
        record = before.get(name)
        if record and record.by == "command" and record.source != source:
            raise UsageError(
                f"another addon '{name}' is enabled, from {record.source}", fix=f"sandbox addons disable {name}"
            )
        with _rolled_back(lambda: _remove_new(manager, before, sandbox.session), name, sandbox.session):
            lifecycle.up([AddonStep(replace(manager, asked=(source,)))], sandbox.session.report)
        chosen = next(addon for addon in manager.chosen(manager.records()) if addon.name == name)
        return Enabled(manager.url(chosen), (*manager.instructions(chosen), *_unanswered(spec, manager, chosen)))


def disable(sandbox: Sandbox, addon: str) -> None:
    """Remove everything that an addon created, and addons that only it needed. Raises SandboxError."""
    called, say = Path(addon).name, sandbox.session.say
    with sandbox.alone("disable"):
        manager, minikube = _managers(sandbox.spec)
        if minikube:
            require_up(sandbox.names)
            if called not in manager.records():
                _disable_in_minikube(minikube, called)
                say(f"{called} is disabled")
                return
        _require_not_in_spec(manager, called, fix=REMOVE)
        require_up(sandbox.names)
        records = manager.records()
        if called not in records:
            raise _not_enabled(called, records)
        for gone in (called, *_unneeded(manager, records, called)):
            manager.remove(records[gone], say)
            say(f"{gone} removed")


def _managers(spec: Spec) -> tuple[AddonManager, MinikubeAddonsStep | None]:
    chosen_spec.require_own_cluster(spec, "an addon")
    context.trust(spec)
    steps, _, _ = machine_plan.steps(spec)
    manager = next(step.manager for step in steps if isinstance(step, AddonStep))
    return manager, next((step for step in steps if isinstance(step, MinikubeAddonsStep)), None)


def _source(addon: str) -> str:
    loader.require(AddonSource, addon)
    return str(Path(addon).resolve()) if "/" in addon else addon


def _remove_new(manager: AddonManager, before: Mapping[str, Record], session: Session) -> None:
    for name, record in manager.records().items():
        if name not in before:
            manager.remove(record, session.say)


@contextmanager
def _rolled_back(undo: Callable[[], None], asked: str, session: Session) -> Iterator[None]:
    """Call `undo` if the block fails; a failure of `undo` is only reported, for it must not hide the first one."""
    try:
        yield
    except BaseException:
        try:
            undo()
        except Exception as error:
            what = f"{asked} may be there in part: {lifecycle.brief(error)}"
            session.report.failed(AddonStep.title, f"{what}; remove it with: sandbox addons disable {asked}")
        raise


def _unneeded(manager: AddonManager, records: Mapping[str, Record], name: str) -> list[str]:
    """List the further addons that only the addon `name` needs.

    Raises UsageError when another addon needs `name`.
    """
    others = {other: record for other, record in records.items() if other != name}
    left = {other.name: other for other in manager.chosen(others)}
    if name in left:
        raise UsageError(f"'{left[name].by}' needs '{name}'", fix=f"disable {left[name].by} first")
    return [other for other, record in others.items() if other not in left and record.by == name]


def _unanswered(spec: Spec, manager: AddonManager, chosen: ChosenAddon) -> Iterator[str]:
    """Wait until the addon's page is served; yield what it answers instead if it is not."""
    host = manager.host(chosen)
    proof = next((step for step in machine_plan.steps(spec)[0] if isinstance(step, HttpsStep)), None) if host else None
    if host and proof:
        try:
            proof.wait_answered(host, timeout=ANSWERING)
        except WaitTimeout as error:
            yield f"it is not served yet: {error.details or error.brief}; look again with: sandbox doctor tls {host}"


def _row(manager: AddonManager, chosen: ChosenAddon, record: Record | None, *, up: bool) -> Row:
    state, detail = "unknown", "the cluster is not responding"
    if up:
        status = manager.status_of(chosen, record)
        state, detail = status.state.value, status.detail
    row = Row(chosen.name, state, chosen.by, chosen.source, chosen.addon.about.title, detail)
    return replace(row, url=manager.url(chosen), **_facts(manager, chosen.addon))


def _minikube_rows(step: MinikubeAddonsStep, *, up: bool) -> Iterator[Row]:
    record = step.record() if up else {}
    for name, enabled in sorted(step.listed().items()):
        trouble = step.problem_of(name) if up and enabled else None
        state = "drifted" if trouble else "ready" if enabled else "off"
        yield Row(name, state, record.get(name), name, "minikube's", trouble or "")


def _enable_in_minikube(step: MinikubeAddonsStep, addon: str, session: Session) -> None:
    """Enable an addon that the spec does not name, until it is disabled."""
    _require_not_in_spec(step, addon, fix="sandbox up")
    before = step.record()

    def undo() -> None:
        # What minikube could not enable is off, but some of its objects may exist.
        if addon in step.record().keys() - before.keys():
            step.disable(addon)

    with _rolled_back(undo, addon, session):
        lifecycle.up([replace(step, asked=(WantedAddon(addon),))], session.report)


def _disable_in_minikube(step: MinikubeAddonsStep, addon: str) -> None:
    """Disable an addon that `enable` or minikube's own command enabled."""
    _require_not_in_spec(step, addon, fix=REMOVE)
    record = step.record()
    enabled = [name for name, on in step.listed().items() if on or name in record]
    if addon not in enabled:
        raise _not_enabled(addon, enabled)
    step.disable(addon)


def _require_not_in_spec(chosen: AddonManager | MinikubeAddonsStep, name: str, *, fix: str) -> None:
    """Raise UsageError for an addon that the spec names, which commands leave to it."""
    if name in {Path(use.source).name for use in chosen.uses}:
        raise UsageError(f"sandbox.yaml has '{name}'", fix=fix)


def _not_enabled(name: str, enabled: Iterable[str]) -> UsageError:
    return UsageError(f"'{name}' is not enabled", fix=f"enabled are: {', '.join(enabled) or 'none'}")
