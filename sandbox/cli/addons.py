"""`sandbox addons`: what else a cluster has, and what it can have."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
from pydantic import TypeAdapter, ValidationError

from sandbox.cli import addons_minikube, command_context, session
from sandbox.cli.console import reporter
from sandbox.cli.options import find_spec
from sandbox.components.addons import catalogue
from sandbox.components.addons.addon_objects import Record
from sandbox.components.addons.catalogue import Chosen
from sandbox.components.addons.step import AddonStep, lost
from sandbox.components.cluster.minikube.minikube_addons import MinikubeAddonsStep
from sandbox.config import capabilities
from sandbox.config.schema import Spec
from sandbox.config.schema.values import AddonSource
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster, ClusterError
from sandbox.plan import lifecycle


@dataclass(frozen=True)
class Row:
    """An addon as it is listed; `state` is `off`, a step's state, or `unknown` when the cluster does not answer."""

    name: str
    state: str
    by: str | None
    source: str
    about: str
    detail: str


def list_(ctx: click.Context, file: Path | None, name: str | None, *, output: str) -> int:
    """List the addons there are, who enabled them and how they stand."""
    command_context.start_log(verbose=ctx.obj)
    rows = _rows(*_steps(find_spec(file, name)))
    if output == "json":
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    width = max(len(row.name) for row in rows)
    for row in rows:
        by = f" ({row.by})" if row.by else ""
        click.echo(f"{row.name:<{width}}  {row.state + by:<20}  {row.about}")
        if row.detail:
            click.echo(f"{'':<{width}}  {row.detail}")
    return 0


def enable(ctx: click.Context, addon: str, file: Path | None, name: str | None, *, progress: str) -> int:
    """Install ADDON, a name that `list` shows or a folder such as ./my-addon, and keep it for this cluster's life."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()
    spec, source = find_spec(file, name), _source(addon)
    capabilities.require_commandable(spec, source)
    # What is no addon is refused before anything is asked; minikube's own only minikube knows.
    found = None if spec.cluster.supports.own_addons and "/" not in source else catalogue.find_addon(source)
    with session.alone(spec.name):
        step, theirs = _steps(spec)
        cluster = _cluster(step)
        if theirs and found is None:
            addons_minikube.enable(theirs, source, progress)
            return 0
        found = found or catalogue.find_addon(source)
        if found.name in {Path(use.source).name for use in step.uses}:
            raise UsageError(f"sandbox.yaml has '{found.name}' already", fix="sandbox up")
        before = step.records(cluster)
        known = before.get(found.name)
        if known and known.by == "command" and known.source != source:
            raise UsageError(
                f"there is another addon '{found.name}', from {known.source}",
                fix=f"sandbox addons disable {found.name}",
            )
        try:
            lifecycle.up([replace(step, asked=(source,))], reporter(progress))
        except BaseException:
            _take_back(step, cluster, before)
            raise
    return 0


def disable(ctx: click.Context, addon: str, file: Path | None, name: str | None) -> int:
    """Take away everything that ADDON brought."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()
    spec, called = find_spec(file, name), Path(addon).name
    with session.alone(spec.name):
        step, theirs = _steps(spec)
        if theirs and called not in step.records(_cluster(step)):
            addons_minikube.disable(theirs, called)
            click.echo(f"{called} is disabled", err=True)
            return 0
        if called in {Path(use.source).name for use in step.uses}:
            raise UsageError(
                f"sandbox.yaml asks for '{called}'", fix="take it out of `addons` there, then `sandbox up`"
            )
        cluster = _cluster(step)
        records = step.records(cluster)
        if called not in records:
            enabled = ", ".join(records) or "none"
            raise UsageError(f"'{called}' is not enabled", fix=f"enabled are: {enabled}")
        for gone in (called, *_unneeded(step, records, called)):
            step.remove(cluster, records[gone])
            click.echo(f"{gone} is gone", err=True)
    return 0


def _steps(spec: Spec) -> tuple[AddonStep, MinikubeAddonsStep | None]:
    """The sandbox's own addons and, on a cluster of minikube's, that one's."""
    session.require_own_cluster(spec, "an addon")
    steps, _, _ = session.steps(spec)
    own = next(step for step in steps if isinstance(step, AddonStep))
    return own, next((step for step in steps if isinstance(step, MinikubeAddonsStep)), None)


def _source(addon: str) -> str:
    """The name, or the folder's absolute path."""
    try:
        TypeAdapter(AddonSource).validate_python(addon)
    except ValidationError as error:
        raise UsageError(f"{addon!r} {error.errors()[0]['ctx']['error']}") from error
    return str(Path(addon).resolve()) if "/" in addon else addon


def _cluster(step: AddonStep) -> Cluster:
    """The cluster, which answers. Raises SandboxError."""
    try:
        cluster = step.cluster
        up = cluster.is_up()
    except ClusterError:
        up = False
    if not up:
        raise SandboxError(f"the sandbox '{step.images.sandbox.name}' is not up", fix="sandbox up", id="not-up")
    return cluster


def _take_back(step: AddonStep, cluster: Cluster, before: dict[str, Record]) -> None:
    """Remove what a failed `enable` began."""
    for name, record in step.records(cluster).items():
        if name not in before:
            step.remove(cluster, record)


def _unneeded(step: AddonStep, records: dict[str, Record], name: str) -> list[str]:
    """The others that are there for the addon `name` alone. Raises UsageError when another needs that one."""
    others = {one: record for one, record in records.items() if one != name}
    left = {one.addon.name: one for one in step.chosen(others)}
    if name in left:
        raise UsageError(f"'{left[name].by}' needs '{name}'", fix=f"disable {left[name].by} first")
    return [one for one, record in others.items() if one not in left and record.by == name]


def _rows(step: AddonStep, theirs: MinikubeAddonsStep | None) -> list[Row]:
    try:
        cluster: Cluster | None = _cluster(step)
    except SandboxError:
        cluster = None
    records = step.records(cluster) if cluster else {}
    chosen = {one.addon.name: one for one in step.chosen(records)}
    rows = [_row(step, one, cluster, records.get(one.addon.name)) for one in chosen.values()]
    for gone in lost(records):
        rows.append(Row(gone.name, "drifted", gone.by, gone.source, "", "its folder is not there any more"))
    if theirs:
        told = addons_minikube.listed(theirs, up=cluster is not None)
        return rows + [Row(name, state, by, name, "minikube's", detail) for name, state, by, detail in told]
    for addon in catalogue.included():
        if addon.name not in chosen:
            instead = addon.about.instead
            detail = f"in sandbox.yaml, write {instead}" if instead else ""
            rows.append(Row(addon.name, "off" if not instead else "-", None, addon.name, addon.about.title, detail))
    return rows


def _row(step: AddonStep, one: Chosen, cluster: Cluster | None, record: Record | None) -> Row:
    state, detail = "unknown", "the cluster does not answer"
    if cluster:
        status = step.look(cluster, one, record)
        state, detail = status.state.value, status.detail
    return Row(one.addon.name, state, one.by, one.source, one.addon.about.title, detail)
