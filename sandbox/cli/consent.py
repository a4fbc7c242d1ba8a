"""The question before the first change to a cluster that is somebody else's."""

from __future__ import annotations

from collections.abc import Sequence

import click

from sandbox.cli.push_prune import has_terminal
from sandbox.cluster import contexts
from sandbox.errors import SandboxError, UsageError
from sandbox.names import LABEL
from sandbox.steps.step import Step
from sandbox.steps.tenancy import TenancyStep


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
        f"context    {step.context} ({contexts.server(step.names.kubeconfig)})\n"
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
