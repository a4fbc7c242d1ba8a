"""The questions before the first change: foreign specs, names in use, recreated steps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.app.agreement import Agreement
from sandbox.app.context import DEFAULT_FILE, default_file
from sandbox.cli import output
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Home
from sandbox.sanitize import fit
from sandbox.step import Rebuildable, State

if TYPE_CHECKING:  # imported for types only: a push must import little
    from sandbox.app.project.source import Fetched
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

    def __init__(self, *, yes: bool = False, take_over: bool = False) -> None:
        self._yes = yes
        self._take_over = take_over

    def allow(self, refusal: SandboxError) -> bool:
        is_agreed = self._take_over if refusal.id == "not-ours" else self._yes
        if not is_agreed and not output.has_terminal():
            raise refusal
        if not is_agreed:
            agree(refusal.brief, refusal.details.splitlines())
        return True

    def recreate(self, found: Found, named: Collection[str]) -> Collection[str]:
        """Return the steps that are named, and the stale ones whose recreation the user agrees to now."""
        stale = [(step, status) for step, status in found if status.state is State.STALE and step.name not in named]
        can_ask = output.has_terminal() and sys.stderr.isatty()  # the question is on stderr
        if not stale or not can_ask or not all(isinstance(step, Rebuildable) for step, _ in stale):
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


def untrusted(project: Fetched, home: Home) -> UsageError | None:
    """Return the error for a fetched project whose revision the user does not trust yet; a folder needs no trust."""
    from sandbox.app.project import source

    if not project.origin.is_fetched or source.is_trusted(home, project.origin):
        return None
    return UsageError(
        "this sandbox comes from elsewhere and runs with your rights on this machine",
        details=f"{fit(f'from     {project.origin}')}\n{fit(f'read it  {project.root}')}",
        fix="read it, then add --trust",
        id="untrusted",
    )


def require_trust(project: Fetched, home: Home, *, trusted: bool) -> None:
    """Ask before anything of a fetched project is read, unless it is `trusted`; keep the answer for this revision.

    Raises UsageError without a terminal, and SandboxError for a no.
    """
    from sandbox.app.project import source

    error = untrusted(project, home)
    if error is None:
        return
    if not trusted and not output.has_terminal():
        raise error
    if not trusted:
        agree(error.brief, error.details.splitlines(), "trust it?")
    source.trust(home, project.origin)


def note_project(say: Say) -> None:
    """Say that a project without a spec needs one, where nothing of it would run."""
    from sandbox.init.compose import FILES

    names = (*FILES, "skaffold.yaml", "Tiltfile", "Dockerfile", "Chart.yaml", "kustomization.yaml")
    if default_file() is None and (source := next((name for name in names if Path(name).is_file()), None)):
        say(f"there is no {DEFAULT_FILE} here, so nothing of {source} runs; `sandbox init` writes one")
