"""`sandbox dashboard`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from sandbox.cli import command_context, session
from sandbox.cli.doctor import rows
from sandbox.cli.options import find_spec
from sandbox.dashboard import doorway, sandbox_state
from sandbox.dashboard.poller import Live, Look
from sandbox.dashboard.server import Dashboard
from sandbox.engine import Engine
from sandbox.plan import lifecycle

FIRST = 5.0  # seconds that the first answer may wait for looks that have not ended


def run(ctx: click.Context, file: Path | None, name: str | None, *, port: int | None, browser: bool | None) -> int:
    """Show every sandbox on a page of this machine, live and read only, until Ctrl-C."""
    command_context.start_log(verbose=ctx.obj)
    spec, home, engine = find_spec(file, name), command_context.home(), Engine.connect()
    steps, _, _ = session.steps(spec)
    surveys = {spec.name: partial(lifecycle.survey, steps)}
    live = Live(
        {
            "sandboxes": Look(lambda: sandbox_state.sandboxes(home, engine, surveys, now=datetime.now(UTC)), 2),
            "edge": Look(lambda: sandbox_state.attempt(partial(sandbox_state.edge, home, engine)), 2),
            "registries": Look(lambda: sandbox_state.registries(home, engine), 10),
            "doctor": Look(lambda: [row.as_json() for row in rows(spec)], 30),
        }
    )
    door = ExitStack()
    page = Dashboard(partial(_state, live, door), port=port or 0)
    live.start()
    click.echo(page.url)
    if command_context.has_desktop() if browser is None else browser:
        try:
            door.enter_context(doorway.opened(page.url, Path.home()))
        except OSError as error:
            click.echo(f"open this address yourself: no page can be written that leads to it ({error})", err=True)
    try:
        page.serve()
    finally:
        live.stop()
        door.close()
    return 0


def _state(live: Live, door: ExitStack) -> Mapping[str, Any]:
    door.close()  # who asks with the token needs it no more
    return live.newest(patience=FIRST)
