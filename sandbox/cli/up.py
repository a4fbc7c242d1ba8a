"""`sandbox up`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click
from pydantic import ValidationError

from sandbox import lifecycle, preflight
from sandbox.cli import environment, session
from sandbox.cli.console import reporter
from sandbox.cli.doctor import explaining
from sandbox.cli.options import find_spec, progress_option, spec_options
from sandbox.cli.welcome import welcome
from sandbox.errors import UsageError
from sandbox.host.engine import Engine
from sandbox.spec import Spec
from sandbox.steps.step import State

CHANGES = 2


class _Port(click.IntRange):
    """A port, or `auto`."""

    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "auto" else super().convert(value, param, ctx)


PORT = _Port(1, 65535)


@click.command("up")
@spec_options
@click.option("--https-port", "https_ports", type=PORT, multiple=True, help="Instead of the spec's; auto: free ones.")
@click.option("--registry-port", type=PORT, help="Instead of the spec's; auto: a free one.")
@click.option("--keep", is_flag=True, help="When it fails, keep what this run made.")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done; exit 0: nothing, 2: something.")
@progress_option
@click.pass_context
def command(
    ctx: click.Context,
    file: Path | None,
    name: str | None,
    *,
    https_ports: tuple[int | Literal["auto"], ...],
    registry_port: int | Literal["auto"] | None,
    keep: bool,
    only_plan: bool,
    progress: str,
) -> int:
    """Bring a sandbox up, or repair it; changes nothing when all is well.

    \b
    sandbox up                      the spec in this folder, or a default one
    sandbox up -f demo/sandbox.yaml
    sandbox up --https-port auto    443 and 8443 where they are free, else others
    """
    environment.start_log(verbose=ctx.obj)
    environment.catch_signals()
    spec = _with_ports(find_spec(file, name), https_ports, registry_port)
    home = environment.home()
    with session.alone(spec.name), preflight.reserve(spec, home, Engine.connect()) as settled:
        steps, _, own = session.steps(settled)
        preflight.require(settled, home, own.kubernetes)
        if only_plan:
            wanted = [(step, status) for step, status in lifecycle.survey(steps) if status.state is not State.READY]
            for step, status in wanted:
                verb = "make" if status.state is State.ABSENT else "repair"
                click.echo(f"{verb:<7} {step.title:<44} {status.detail}")
            return CHANGES if wanted else 0
        with explaining(settled):
            lifecycle.up(steps, reporter(progress), keep=keep)
    welcome(settled, home)
    return 0


def _with_ports(spec: Spec, https: tuple[int | Literal["auto"], ...], registry: int | Literal["auto"] | None) -> Spec:
    """The spec with the ports of the command line; checked again, since ports may not clash."""
    data = spec.model_dump()
    if https:
        data["proxy"]["ports"] = "auto" if https == ("auto",) else https
    if registry:
        data["registry"]["port"] = registry
    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        reason = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        raise UsageError(f"these ports do not go together: {reason}") from error
