"""Options that several commands share, and what they mean."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandbox.cli.complete import sandboxes
from sandbox.cli.lazy import FORMS
from sandbox.errors import SandboxError, UsageError

if TYPE_CHECKING:
    from sandbox.config.resolve import Override
    from sandbox.config.schema import Spec
    from sandbox.config.schema.origin_schema import Origin

# Seconds to wait for another command on the same sandbox: longer than any `up` takes.
PATIENCE = 600.0

Command = Callable[..., Any]


def spec_options(command: Command) -> Command:
    """`NAME` and `-f FILE`: which sandbox is meant."""
    command = click.argument("name", required=False, shell_complete=sandboxes)(command)
    return click.option(
        "-f",
        "--file",
        type=click.Path(path_type=Path),
        help="The spec.  [default: ./sandbox.yaml, if there is one]",
    )(command)


def progress_option(command: Command) -> Command:
    """`--progress` and `-q`: how the talk on stderr looks."""
    command = click.option(
        "-q", "--quiet", "progress", flag_value="quiet", type=str, help="The same as --progress quiet: errors only."
    )(command)
    return click.option(
        "--progress",
        type=click.Choice(["auto", "plain", "json", "quiet"]),
        default="auto",
        envvar="SANDBOX_PROGRESS",
        help="How progress is shown on stderr.",
        callback=_remembered,
    )(command)


def turn_options(command: Command) -> Command:
    """`--lock-timeout` and `--no-wait`: for how many seconds to wait for another command on the same sandbox."""
    command = click.option("--no-wait", "patience", flag_value=0.0, type=float, help="Do not wait for it.")(command)
    return click.option(
        "--lock-timeout",
        "patience",
        type=click.FloatRange(min=0),
        default=PATIENCE,
        metavar="SECONDS",
        help=f"How long to wait while another command works on the same sandbox.  [default: {PATIENCE:.0f}]",
    )(command)


def output_option(command: Command) -> Command:
    """`-o text|json`: how the result on stdout looks."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        help="The result's form on stdout.",
        callback=_remembered,
    )(command)


def _remembered(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Note the choice where whoever shows an error of the command finds it: `FORMS` of the context's `meta`."""
    ctx.meta.setdefault(FORMS, {})[param.name] = value
    return value


def find_spec(file: Path | None, name: str | None) -> Spec:
    """The spec as it is written (`written`), with the cluster that there is where it says nothing of one."""
    from sandbox.app.context import as_made

    return as_made(written(file, name))


def written(
    file: Path | None, name: str | None, overrides: Sequence[Override] = (), *, called: str | None = None
) -> Spec:
    """The spec of FILE, else of ./sandbox.yaml, else the default one; with the values of `overrides`.

    With NAME alone it is the one that this sandbox was last brought up with, else the default one of that name. A
    fetched FILE without a name has that of the folder `called`.
    """
    from sandbox.app.context import DEFAULT_FILE, read
    from sandbox.config.resolve import changed
    from sandbox.config.schema import Spec

    if file is not None:
        spec = read(file, overrides, called=called)
    elif name is None and DEFAULT_FILE.exists():
        spec = read(DEFAULT_FILE, overrides)
    else:
        known = _known(Spec.default(name)) if name else Spec()
        return changed(known, overrides, called=f"the spec of '{known.name}'")
    if name not in (None, spec.name):
        raise UsageError(
            f"{file or DEFAULT_FILE} describes '{spec.name}', not '{name}'", fix="give one of the two only"
        )
    return spec


def origin_of(file: Path | None, name: str | None) -> Origin | None:
    """Where that spec comes from; None where it is the one that is remembered, whose origin is too."""
    from sandbox.app.context import DEFAULT_FILE
    from sandbox.cli import command_context
    from sandbox.config.schema.origin_schema import Origin

    if file is not None or (name is None and DEFAULT_FILE.exists()):
        return Origin.of(file or DEFAULT_FILE)
    return None if name and command_context.home().sandbox(name).spec.exists() else Origin()


def _known(default: Spec) -> Spec:
    """The spec that is remembered of a sandbox; the default one when there is none, or none that can be read."""
    from sandbox.cli import command_context
    from sandbox.plan import saved_spec

    with contextlib.suppress(SandboxError):
        return saved_spec.load(command_context.home().sandbox(default.name)) or default
    return default
