"""`sandbox addons` on a cluster of minikube's, where a name is one of minikube's own addons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sandbox.cli.console import reporter
from sandbox.components.addons.catalogue import Use
from sandbox.components.cluster.minikube.minikube_addons import MinikubeAddonsStep
from sandbox.errors import UsageError
from sandbox.plan import lifecycle


def listed(step: MinikubeAddonsStep, *, up: bool) -> Iterator[tuple[str, str, str | None, str]]:
    """Of each addon of minikube's: name, state, who enabled it if that was us, and what is amiss."""
    record = step.record() if up else {}
    for name, enabled in sorted(step.listed().items()):
        by = record.get(name)
        amiss = step.amiss(name) if up and enabled else None
        yield name, "drifted" if amiss else "ready" if enabled else "off", by, amiss or ""


def enable(step: MinikubeAddonsStep, addon: str, progress: str) -> None:
    """Enable one that the spec does not name, until it is disabled."""
    if addon in {use.source for use in step.uses}:
        raise UsageError(f"sandbox.yaml has '{addon}' already", fix="sandbox up")
    lifecycle.up([replace(step, asked=(Use(addon),))], reporter(progress))


def disable(step: MinikubeAddonsStep, addon: str) -> None:
    """Disable one that a command of ours or minikube's enabled."""
    if addon in {use.source for use in step.uses}:
        raise UsageError(f"sandbox.yaml asks for '{addon}'", fix="take it out of `addons` there, then `sandbox up`")
    there = step.listed()
    if not there.get(addon):
        enabled = ", ".join(name for name, on in there.items() if on) or "none"
        raise UsageError(f"'{addon}' is not enabled", fix=f"enabled are: {enabled}")
    step.disable(addon)
