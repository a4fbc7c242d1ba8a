"""`sandbox start`."""

from __future__ import annotations

from pathlib import Path

import click

from sandbox.app import requirements
from sandbox.cli import command_context, session
from sandbox.cli.console import reporter
from sandbox.cli.doctor import explaining
from sandbox.cli.options import find_spec
from sandbox.cli.summary import welcome
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Engine
from sandbox.plan import lifecycle
from sandbox.report import Reporter


def run(ctx: click.Context, file: Path | None, name: str | None, *, output: str, patience: float, progress: str) -> int:
    """Start a stopped sandbox as it was last brought up; ready when its hosts are answered."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()
    wanted = find_spec(file, name)
    with session.alone(wanted.name, patience=patience, progress=progress):
        spec = bring(wanted.name, reporter(progress))
    welcome(spec, command_context.home(), output)
    return 0


def bring(name: str, talk: Reporter) -> ResolvedSpec:
    """Start the sandbox as it was last brought up; its spec. Raises UsageError when there is none."""
    spec = session.brought_up(name)
    with requirements.reserve(spec, command_context.home(), Engine.connect()) as settled, explaining(settled):
        lifecycle.up(session.resting(settled), talk, keep=True)
    return spec
