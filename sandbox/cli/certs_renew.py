"""`sandbox certs renew`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from sandbox.cli import command_context, session
from sandbox.cli.console import reporter
from sandbox.cli.options import find_spec
from sandbox.components.certificates.authority_step import AuthorityStep
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.plan import lifecycle


def run(
    ctx: click.Context, file: Path | None, name: str | None, *, authority: bool, root: bool, yes: bool, progress: str
) -> int:
    """Renew the leaves now and wait until they are served."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()
    spec = find_spec(file, name).model_copy(update={"push": None, "apply": ()})
    names = command_context.home().sandbox(spec.name)
    with session.alone(spec.name):
        steps, _, _ = session.steps(spec)
        made = next(step for step in steps if isinstance(step, AuthorityStep))
        now = datetime.now(UTC)
        if not (made.leaves or authority or root):
            click.echo("cert-manager renews this sandbox's leaves; --authority and --root are ours", err=True)
            return 0
        replaces = made.keystore.replaces_root(made.domains, now=now, authority=authority, root=root)
        if replaces and not _agreed(made, yes=yes):
            click.echo("nothing was changed", err=True)
            return 1
        domains = (*made.domains, *made.unvouched) if replaces else made.domains
        made.keystore.renew(domains, made.leaves, now=now, authority=authority, root=root, reserve=made.reserve())
        if made.unvouched and replaces:
            steps, _, _ = session.steps(spec)  # there is more that the new root vouches for
        if not _is_up(names):
            click.echo("the cluster is not reachable; sandbox up puts the new certificates there", err=True)
        else:
            renewed = [step for step in steps if made.name in (step.name, *step.requires)]
            lifecycle.up(renewed, reporter(progress), keep=True)
            for step in steps:
                if isinstance(step, HttpsStep):
                    step.renew(partial(click.echo, err=True))
    for entry in made.leaves:
        click.echo(f"renewed {entry}")
    if replaces:
        click.echo("the root is another now; trust it again with: sandbox certs trust", err=True)
    return 0


def _agreed(made: AuthorityStep, *, yes: bool) -> bool:
    """Whether the root may change: it may when there is none yet."""
    if yes or not made.keystore.root.has_cert:
        return True
    warning = "the root changes: browsers and tools that trust the present one must be told to trust the new one"
    if not _has_terminal():
        raise UsageError(warning, details="here is no terminal to ask at", fix="add --yes", id="consent")
    click.echo(warning, err=True)
    return click.confirm("make a new root?", err=True)


def _has_terminal() -> bool:
    return sys.stdin.isatty()


def _is_up(names: Names) -> bool:
    try:
        return Cluster(names.kubeconfig).is_up()
    except SandboxError:
        return False
