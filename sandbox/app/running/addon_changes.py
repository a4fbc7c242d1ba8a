"""Lists the addons of a running cluster, and enables or disables them.

On a minikube cluster a name is one of minikube's own addons; a folder is an addon of the sandbox's.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.app import chosen_spec, context, machine_plan
from sandbox.app.core import Sandbox
from sandbox.app.session import Session
from sandbox.app.views.known_sandboxes import require_up
from sandbox.components.addons import catalogue
from sandbox.components.addons.addon_manager import AddonManager, lost
from sandbox.components.addons.catalogue import OTHER, Addon, WantedAddon
from sandbox.components.addons.steps import AddonStep
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


def listed(sandbox: Sandbox) -> list[Row]:
    manager, minikube = _managers(sandbox.spec)
    up = trouble_of(sandbox.names.kubeconfig) is None
    records = manager.records() if up else {}
    chosen = {addon.name: addon for addon in manager.chosen(records)}
    rows = []
    for name, each in chosen.items():
        state, detail = "unknown", "the cluster is not responding"
        if up:
            status = manager.status_of(each, records.get(name))
            state, detail = status.state.value, status.detail
        facts = _facts(manager, each.addon)
        rows.append(Row(name, state, each.by, each.source, detail=detail, url=manager.url(each), **facts))
    rows += [Row(gone.name, "drifted", gone.by, gone.source, "", "its folder is gone") for gone in lost(records)]
    if minikube:
        record = minikube.record() if up else {}
        for name, enabled in sorted(minikube.listed().items()):
            trouble = minikube.problem_of(name) if up and enabled else None
            state = "drifted" if trouble else "ready" if enabled else "off"
            rows.append(Row(name, state, record.get(name), name, "minikube's", trouble or ""))
        return rows
    for addon in catalogue.included():
        if addon.name not in chosen:
            instead = addon.about.instead
            state, detail = ("-", f"in sandbox.yaml, write {instead}") if instead else ("off", "")
            rows.append(Row(addon.name, state, None, addon.name, detail=detail, **_facts(manager, addon)))
    return rows


def _facts(manager: AddonManager, addon: Addon) -> dict[str, Any]:
    about = addon.about
    chart = {"version": about.chart.version, "size": manager.charts.size(addon.name)} if about.chart else {}
    return {"about": about.title, "topic": about.topic, "untested": about.untested, **chart}


def enable(sandbox: Sandbox, addon: str) -> tuple[str, ...]:
    """Install an addon, by its name or folder, and keep it for the life of this cluster. Raises SandboxError.

    Returns the address of its page, if it has one, and how to use it, a line each.
    """
    loader.require(AddonSource, addon)
    spec, session = sandbox.spec, sandbox.session
    source = str(Path(addon).resolve()) if "/" in addon else addon
    capabilities.require_commandable(spec, source)
    # A mistyped name is refused before anything is asked; names of minikube's own addons only minikube knows.
    included = None if catalogue.is_minikubes(spec, source) else catalogue.find_addon(source)
    with sandbox.alone("enable"):
        manager, minikube = _managers(spec)
        require_up(sandbox.names)
        if minikube and included is None:
            _require_not_in_spec(minikube, source, fix="sandbox up")
            recorded = minikube.record()

            def undo() -> None:
                # What minikube could not enable is off, but some of its objects may exist.
                if source in minikube.record().keys() - recorded.keys():
                    minikube.disable(source)

            with _rolled_back(undo, source, session):
                lifecycle.up([replace(minikube, asked=(WantedAddon(source),))], session.report)
            return ()
        name = (included or catalogue.find_addon(source)).name
        _require_not_in_spec(manager, name, fix="sandbox up")
        before = manager.records()
        record = before.get(name)
        if record and record.by == "command" and record.source != source:
            raise UsageError(
                f"another addon '{name}' is enabled, from {record.source}", fix=f"sandbox addons disable {name}"
            )

        def remove_new() -> None:
            for other, new in manager.records().items():
                if other not in before:
                    manager.remove(new, session.say)

        with _rolled_back(remove_new, name, session):
            lifecycle.up([AddonStep(replace(manager, asked=(source,)))], session.report)
        chosen = next(addon for addon in manager.chosen(manager.records()) if addon.name == name)
        lines = (*manager.instructions(chosen), *_unanswered(spec, manager.host(chosen)))
        return tuple(filter(None, (manager.url(chosen), *lines)))


def disable(sandbox: Sandbox, addon: str) -> None:
    """Remove everything that an addon created, and addons that only it needed. Raises SandboxError."""
    name, say = Path(addon).name, sandbox.session.say
    with sandbox.alone("disable"):
        manager, minikube = _managers(sandbox.spec)
        if minikube:
            require_up(sandbox.names)
        if minikube and name not in manager.records():
            _require_not_in_spec(minikube, name, fix=REMOVE)
            recorded = minikube.record()
            enabled = [each for each, is_on in minikube.listed().items() if is_on or each in recorded]
            if name not in enabled:
                raise _not_enabled(name, enabled)
            minikube.disable(name)
            say(f"{name} is disabled")
            return
        _require_not_in_spec(manager, name, fix=REMOVE)
        require_up(sandbox.names)
        records = manager.records()
        if name not in records:
            raise _not_enabled(name, records)
        others = {other: record for other, record in records.items() if other != name}
        left = {other.name: other for other in manager.chosen(others)}
        if name in left:
            raise UsageError(f"'{left[name].by}' needs '{name}'", fix=f"disable {left[name].by} first")
        unneeded = [other for other, record in others.items() if other not in left and record.by == name]
        for gone in (name, *unneeded):
            manager.remove(records[gone], say)
            say(f"{gone} removed")


def _managers(spec: Spec) -> tuple[AddonManager, MinikubeAddonsStep | None]:
    chosen_spec.require_own_cluster(spec, "an addon")
    context.trust(spec)
    steps, _, _ = machine_plan.steps(spec)
    manager = next(step.manager for step in steps if isinstance(step, AddonStep))
    return manager, next((step for step in steps if isinstance(step, MinikubeAddonsStep)), None)


@contextmanager
def _rolled_back(undo: Callable[[], None], name: str, session: Session) -> Iterator[None]:
    try:
        yield
    except BaseException:
        try:
            undo()
        except Exception as error:  # only reported, for it must not hide the first one
            what = f"{name} may be there in part: {lifecycle.brief(error)}"
            session.report.event("failed", AddonStep.title, f"{what}; remove it with: sandbox addons disable {name}")
        raise


def _unanswered(spec: Spec, host: str | None) -> Iterator[str]:
    for step in machine_plan.steps(spec)[0] if host else ():
        if host and isinstance(step, HttpsStep):
            try:
                step.wait_answered(host, timeout=ANSWERING)
            except WaitTimeout as error:
                answer = error.details or error.brief
                yield f"it is not served yet: {answer}; look again with: sandbox doctor tls {host}"


def _require_not_in_spec(chosen: AddonManager | MinikubeAddonsStep, name: str, *, fix: str) -> None:
    if name in {Path(use.source).name for use in chosen.uses}:
        raise UsageError(f"sandbox.yaml has '{name}'", fix=fix)


def _not_enabled(name: str, enabled: Iterable[str]) -> UsageError:
    return UsageError(f"'{name}' is not enabled", fix=f"enabled are: {', '.join(enabled) or 'none'}")
