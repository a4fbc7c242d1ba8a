"""The questions before the first change: a cluster that exists, a spec that others wrote, a name that is in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from sandbox.app import consent, spec_demands
from sandbox.app.source import Fetched
from sandbox.cli.push_prune import has_terminal
from sandbox.components.cluster import kubeconfig
from sandbox.components.cluster.existing.steps import TenancyStep
from sandbox.config.schema import Spec
from sandbox.config.schema.origin_schema import Origin
from sandbox.errors import SandboxError, UsageError
from sandbox.names import LABEL, Home, Names
from sandbox.plan import saved_spec
from sandbox.step import Step


def require_origin(names: Names, origin: Origin | None, *, yes: bool) -> None:
    """Return once the user agrees that a spec from `origin` takes the place of one from elsewhere with its name.

    Raises SandboxError when they do not, and UsageError where there is no terminal.
    """
    known = _replaced(names, origin)
    if known is None or yes:
        return
    said = f"before  {known}\nnow     {origin}\nwhat the one before applied and this one does not say is deleted"
    if not has_terminal():
        raise UsageError(
            f"'{names.name}' was brought up from elsewhere",
            details=said,
            fix=f"add --yes if this one is to take its place; else give it another name, or: sandbox down {names.name}",
            id="other-origin",
        )
    click.echo(f"'{names.name}' was brought up from elsewhere:", err=True)
    _confirm(said)


def _replaced(names: Names, origin: Origin | None) -> str | None:
    """The other source that the sandbox was brought up from, if there is one."""
    if origin is None or not names.spec.exists():
        return None
    known = saved_spec.origin(names)
    if known is None:  # an earlier release kept none; a spec from elsewhere does not profit from that
        return "by an earlier release, which did not keep where from" if origin.is_fetched else None
    return None if origin.may_replace(known) else str(known)


def tell(
    names: Names, origin: Origin | None, elsewhere: Fetched | None, spec: Spec, say: Callable[[str], None]
) -> None:
    """Say what `up` would ask."""
    if known := _replaced(names, origin):
        say(f"'{names.name}' was brought up from elsewhere: {known}; `up` asks, or takes --yes")
    if elsewhere:
        for line in trust_lines(elsewhere, spec):
            say(line)
        if not consent.has_spec(names.home, elsewhere.origin):
            say("`up` asks whether you agree to this, or takes --trust")


def trust_lines(found: Fetched, spec: Spec) -> tuple[str, ...]:
    """Where the spec is from, and what it asks for beyond its project. Raises UsageError for what cannot be read."""
    asked = spec_demands.beyond(spec, found.root)
    programs = ("programs     the bundle's kind, kubectl and images run on this machine",) if found.bundle else ()
    beyond = (*programs, *asked) or ("nothing beyond its own folder",)
    return (f"from         {found.origin}", *beyond)


def require_trust(home: Home, found: Fetched, spec: Spec, *, trusted: bool) -> None:
    """Return once the user agrees to what a spec that others wrote asks for, which is kept for this revision.

    Raises SandboxError when they do not, and UsageError where there is no terminal.
    """
    if consent.has_spec(home, found.origin) and found.bundle is None:
        return
    if not trusted:
        said = "\n".join(trust_lines(found, spec))
        if not has_terminal():
            raise UsageError(
                f"'{spec.name}' was written elsewhere, and what it asks for was not agreed to yet",
                details=said,
                fix="--trust, once you have read this and what it runs",
                id="untrusted",
            )
        click.echo(f"'{spec.name}' was written elsewhere; it runs with your rights, and asks for:", err=True)
        _confirm(said)
    consent.note_spec(home, found.origin)


def _confirm(said: str) -> None:
    for line in said.splitlines():
        click.echo(f"  {line}", err=True)
    if not click.confirm("go on?", err=True):
        raise SandboxError("nothing was changed", id="declined")


def require(steps: Sequence[Step], *, yes: bool) -> None:
    """Return once the user agrees to what `up` would do in a cluster that exists, if it is one and he has not already.

    That he has is told by what is there with our label and his name. Raises SandboxError when he does not,
    and UsageError where nobody can be asked.
    """
    for step in steps:
        if isinstance(step, TenancyStep):
            _ask(step, yes=yes)


def _ask(step: TenancyStep, *, yes: bool) -> None:
    why = step.strangeness()
    if why is None or yes:
        return
    said = (
        f"context    {step.context} ({kubeconfig.server_of(step.names.kubeconfig)})\n"
        f"namespace  {step.namespace}: {why}\n"
        f"what       objects labelled {LABEL}={step.names.name} in that namespace, and no others; the namespace itself "
        "if it is not there; `sandbox down` takes all of it away"
    )
    if not has_terminal():
        step.forget()
        raise UsageError(
            "up asks before the first change to a cluster that exists, and here is no terminal",
            details=said,
            fix="add --yes",
            id="consent",
        )
    click.echo(f"'{step.names.name}' would be made in a cluster that exists:", err=True)
    for line in said.splitlines():
        click.echo(f"  {line}", err=True)
    if not click.confirm("go on?", err=True):
        step.forget()
        raise SandboxError("nothing was changed", id="declined")
