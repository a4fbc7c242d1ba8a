"""The questions before the first change: foreign specs, names in use, existing clusters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.app import chosen_spec, context
from sandbox.app.agreement import Agreement
from sandbox.app.context import DEFAULT_FILE, default_file
from sandbox.cli import output
from sandbox.config.schema import Spec
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Home
from sandbox.sanitize import fit
from sandbox.step import Rebuildable, State
from sandbox.system import files

if TYPE_CHECKING:  # imported for types only: a push must import little
    from sandbox.app.project.existing_clusters import UserCluster
    from sandbox.app.project.source import Fetched
    from sandbox.engine import Engine
    from sandbox.plan.lifecycle import Found

Say = Callable[[str], None]


def agree(brief: str, shown: Iterable[str] = (), question: str = "go on?", *, fix: str = "add --yes") -> None:
    """Show what would change, and ask. Raises UsageError without a terminal, and SandboxError for a no."""
    lines = [fit(line) for line in shown]
    if not output.has_terminal():
        refused = f"{brief}: this needs your agreement, and stdin is not a terminal"
        raise UsageError(refused, details="\n".join(lines), fix=fix, id="consent")
    click.echo("\n  ".join((f"{brief}:", *lines)), err=True)
    if not click.confirm(question, err=True):
        raise SandboxError("nothing was changed", id="declined")


class Asking(Agreement):
    """Asks at the terminal, unless `yes`, or `take_over` for what another person made.

    Raises UsageError without a terminal, and SandboxError for a no.
    """

    def __init__(self, say: Say, *, yes: bool = False, take_over: bool = False) -> None:
        self._say = say
        self._yes = yes
        self._take_over = take_over

    def allow(self, refusal: SandboxError) -> bool:
        is_agreed = self._take_over if refusal.id == "not-ours" else self._yes
        if not is_agreed and not output.has_terminal():
            raise refusal
        if not is_agreed:
            agree(refusal.brief, refusal.details.splitlines())
        return True

    def existing_cluster(self, spec: Spec, file: Path | None, home: Home, engine: Engine) -> UserCluster | None:
        """Offer a cluster that the user made by hand, and keep a yes in a new sandbox.yaml."""
        cluster = _offered(spec, home, engine, self._say)
        if cluster is None:
            return None
        if not _is_interactive():
            _tell_how(spec, cluster, self._say)
            return None
        what = "both" if cluster.registry else "it"
        if not click.confirm(f"use {what} for '{spec.name}', in a namespace?", err=True):
            return None
        if file := file or default_file():
            self._say(f"write in {file} to keep this choice:")
            for line in _yaml(cluster):
                self._say(f"    {line}")
        else:
            text = "\n".join((f"apiVersion: {spec.apiVersion}", f"name: {spec.name}", *_yaml(cluster), ""))
            files.write_atomic(DEFAULT_FILE.absolute(), text.encode(), mode=0o644)
            self._say(f"wrote {DEFAULT_FILE} to keep this choice")
        self._yes = True  # also to a sandbox in that cluster
        return cluster

    def recreate(self, found: Found, named: Collection[str]) -> Collection[str]:
        """Return the steps that are named, and the stale ones whose recreation the user agrees to now."""
        stale = [(step, status) for step, status in found if status.state is State.STALE and step.name not in named]
        if not stale or not _is_interactive() or not all(isinstance(step, Rebuildable) for step, _ in stale):
            return named  # and `up` says what to do
        for step, status in stale:
            click.echo(fit(f"{step.title} cannot be updated in place: {status.detail}"), err=True)
            if not click.confirm(f"  recreating it deletes: {status.loses}\n  go on?", err=True):
                return named
        return {*named, *(step.name for step, _ in stale)}


class Telling(Agreement):
    """For `up --plan`: prints what `up` would ask, and goes on."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def allow(self, refusal: SandboxError) -> bool:
        reason, _, _ = refusal.details.partition("\n")
        self._say(f"{refusal.brief}: {reason}; `up` asks, or takes --yes")
        return False

    def existing_cluster(self, spec: Spec, file: Path | None, home: Home, engine: Engine) -> UserCluster | None:
        if cluster := _offered(spec, home, engine, self._say):
            _tell_how(spec, cluster, self._say)
        return None


def trusts(project: Fetched, home: Home, *, trusted: bool, ask: bool) -> bool:
    """Return whether the user trusts a project: a folder, `trusted`, or a revision that was agreed to, now or before.

    Unless `ask`, returns False instead of asking. Raises UsageError without a terminal, and SandboxError for a no.
    """
    from sandbox.app.project import source

    origin = project.origin
    if not origin.is_fetched or source.is_trusted(home, origin):
        return True
    if not trusted:
        if not ask:
            return False
        shown = (f"from     {fit(str(origin))}", f"read it  {project.root}")
        if not output.has_terminal():
            raise UsageError(
                "this sandbox comes from elsewhere and would run with your rights on this machine",
                details="\n".join(shown),
                fix="read it, then add --trust",
                id="untrusted",
            )
        agree("this sandbox comes from elsewhere and runs with your rights on this machine", shown, "trust it?")
    source.trust(home, origin)
    return True


def confirm_new(file: Path | None, name: str | None, say: Say, *, ask: bool) -> None:
    """Ask before NAME becomes a new sandbox that is probably another one's, mistyped; or only tell.

    So it asks, or tells, where a project has no spec yet and nothing of it would run. Raises SandboxError for a no.
    """

    def confirm(question: str, fix: str) -> None:
        if ask and _is_interactive() and not click.confirm(question, err=True):
            raise SandboxError("nothing was changed", fix=fix, id="declined")

    if file is None and name is None and not default_file():
        if source := _project_file():
            say(f"there is no {DEFAULT_FILE} here, so nothing of {source} runs; `sandbox init` writes one")
            if chosen_spec.remembered(Spec().name) is None:
                confirm("create a sandbox without it?", "sandbox init")
        return
    if name is None or context.home().sandbox(name).spec.exists() or (file and chosen_spec.read(file).name == name):
        return
    spec = f"the spec of {file}" if file else "the default spec"
    if meant := chosen_spec.near(name):
        say(f"there is no sandbox '{name}' yet; did you mean '{meant}'?")
        confirm(f"create '{name}', with {spec}?", f"sandbox up {meant}")
    elif file:
        say(f"'{name}' is new and gets {spec}")


def _project_file() -> str | None:
    from sandbox.init import skaffold, tiltfile
    from sandbox.init.compose import FILES

    names = (*FILES, *skaffold.FILES, tiltfile.FILE, "Dockerfile", "Containerfile", "Chart.yaml", "kustomization.yaml")
    return next((name for name in names if Path(name).is_file()), None)


def _is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _offered(spec: Spec, home: Home, engine: Engine, say: Say) -> UserCluster | None:
    """Show and return the first cluster to offer; None where the spec names one or the sandbox exists already."""
    if spec.says("cluster") or chosen_spec.remembered(spec.name):
        return None
    from sandbox.app.project import existing_clusters

    cluster = next(existing_clusters.find(engine, home), None)
    if cluster:
        registry = f" and its registry {cluster.registry} are" if cluster.registry else " is"
        say(f"the kind cluster {cluster.context}{registry} on this machine, not created by sandbox")
    return cluster


def _tell_how(spec: Spec, cluster: UserCluster, say: Say) -> None:
    say(f"  '{spec.name}' gets its own cluster; to use that one, write in sandbox.yaml:")
    for line in _yaml(cluster):
        say(f"    {line}")


def _yaml(cluster: UserCluster) -> list[str]:
    import yaml

    return yaml.safe_dump(cluster.spec, default_flow_style=None, sort_keys=False).splitlines()
