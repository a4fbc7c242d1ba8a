"""`sandbox up`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from sandbox.app import requirements
from sandbox.app import source as origin
from sandbox.app.context import as_made
from sandbox.cli import adopt, command_context, console, prompts, session, up_plan
from sandbox.cli.console import reporter
from sandbox.cli.doctor import explaining
from sandbox.cli.options import origin_of, written
from sandbox.cli.summary import welcome
from sandbox.config import resolve
from sandbox.config.resolve import PortChoice
from sandbox.engine import Engine
from sandbox.errors import UsageError
from sandbox.plan import lifecycle, saved_spec
from sandbox.step import Rebuildable, Step

CHANGES = 2
# What the user brings: while that is corrected, the sandbox around it may well stay.
BROUGHT = ("push", "charts", "apply")


KEPT = """what was there before stays, and so do the registry's data and the certificates
go on: sandbox up      take all of it away: sandbox down --purge"""


def run(
    ctx: click.Context,
    file: Path | None,
    name: str | None,
    *,
    source: str | None,
    identity: str | None,
    trust: bool,
    https_ports: tuple[PortChoice, ...],
    registry_port: PortChoice | None,
    keep: bool,
    only_plan: bool,
    recreate: tuple[str, ...],
    yes: bool,
    output: str,
    patience: float,
    progress: str,
) -> int:
    """Bring a sandbox up, or repair it; changes nothing when all is well."""
    command_context.start_log(verbose=ctx.obj)
    if keep:
        command_context.catch_signals("stopping", "what was made stays; go on: sandbox up")
    else:
        command_context.catch_signals("undoing what this run began", KEPT)
    home, say = command_context.home(), partial(console.note, progress)
    if source is not None and file is not None:
        raise UsageError("-f and --from contradict each other", fix="give one of them")
    if source is None and (identity or trust):
        raise UsageError("--identity and --trust are for --from", fix="leave them out")
    with ExitStack() as stack:
        project = None
        if source is not None:
            project = stack.enter_context(origin.fetched(source, home, say, identity=identity, trusted=trust))
            file = project.file
        ports = tuple(resolve.ports(https_ports, registry_port))
        wanted = written(file, name, ports, called=project.called if project else None)
        elsewhere = project if project and project.origin.is_fetched else None
        wanted = resolve.with_own_cluster(wanted) if elsewhere else wanted
        comes_from = elsewhere.origin if elsewhere else origin_of(file, name)
        spec = as_made(wanted)
        names = home.sandbox(spec.name)
        stack.enter_context(session.alone(spec.name, patience=patience, progress=progress))
        if only_plan:
            prompts.tell(names, comes_from, elsewhere, wanted, say)
        else:
            prompts.require_origin(names, comes_from, yes=yes)
        if elsewhere:
            if not only_plan:
                prompts.require_trust(home, elsewhere, wanted, trusted=trust)
                elsewhere.complete(home, say)
            spec = elsewhere.settled(spec, home)
        engine = Engine.connect()
        adopted = adopt.offer(wanted, file, home, engine, say=say, ask=not only_plan)
        spec = adopt.adopted(spec, adopted) if adopted else spec
        settled = stack.enter_context(requirements.reserve(spec, home, engine))
        steps, engine, own = session.steps(settled)
        requirements.require(settled, home, own)
        _known(recreate, steps)
        talk = reporter(progress)
        with explaining(settled):
            with engine.glance():
                found = lifecycle.survey(steps, talk)
            if only_plan:
                return CHANGES if up_plan.show(spec.name, found, recreate, output) else 0
            agreed = up_plan.agreed(found, recreate)
            prompts.require(steps, yes=yes or adopted is not None)
            with saved_spec.coming_from(names, comes_from):
                lifecycle.up(steps, talk, keep=keep, recreate=agreed, found=found, spared=BROUGHT)
    welcome(settled, home, output)
    return 0


def _known(recreate: Sequence[str], steps: Sequence[Step]) -> None:
    """Raise UsageError for a step that the sandbox has not or that is never made anew."""
    names = [step.name for step in steps if isinstance(step, Rebuildable)]
    for one in recreate:
        if one not in names:
            raise UsageError(f"--recreate knows no step '{one}'", fix=f"one of {', '.join(names)}")
