"""Options that several commands share, and their meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import click

from sandbox.cli.completion import sandboxes
from sandbox.cli.groups import FORMS

if TYPE_CHECKING:
    from sandbox.app.core import Sandbox
    from sandbox.app.session import Session
    from sandbox.config.schema import Spec

# Seconds to wait for another command on the same sandbox: longer than any `up` takes.
PATIENCE = 600.0
NAMED = "sandbox.named"  # the key of a context's `meta` for the argument NAME

Command = Callable[..., Any]


class _Port(click.IntRange):
    """A port, or `auto`."""

    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value).endswith("/udp"):
            self.fail("UDP has no port of this machine: use the address of a Service of type LoadBalancer", param, ctx)
        return value if value == "auto" else super().convert(value, param, ctx)


def seconds(at_least: float) -> click.FloatRange:
    """Take seconds up to a day: with more than a day, the system's own timers fail."""
    return click.FloatRange(at_least, 24 * 60 * 60)


PORT = _Port(1, 65535)

changing_option = click.option("--yes", is_flag=True, help="Do not ask about a sandbox of another file.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
file_option = click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path),
    help="The spec.  [default: sandbox.yaml here or in a folder above]",
)


def _from_argument(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the name that `-n` gives, or the argument NAME, which is read first."""
    named = ctx.meta.pop(NAMED, None)
    if value and named and value != named:
        raise click.UsageError(f"NAME is {named}, and -n is {value}: give one of them")
    return value or named


def _keep_argument(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    ctx.meta[NAMED] = value


def name_option(help: str = "The sandbox.  [default: that of the spec]") -> Callable[[Command], Command]:
    return click.option("-n", "--name", help=help, shell_complete=sandboxes, callback=_from_argument)


def spec_options(command: Command) -> Command:
    return name_option()(file_option(command))


def named_spec_options(command: Command) -> Command:
    """Add `-n NAME` and `-f FILE`, and the name as an argument too."""
    argument = click.argument(
        "named",
        metavar="[NAME]",
        required=False,
        shell_complete=sandboxes,
        is_eager=True,
        expose_value=False,
        callback=_keep_argument,
    )
    return argument(spec_options(command))


def progress_option(command: Command) -> Command:
    """Add `--progress` and `-q`: the form of messages on stderr."""
    command = click.option(
        "-q", "--quiet", "progress", flag_value="quiet", type=str, help="Show errors only, like --progress quiet."
    )(command)
    return click.option(
        "--progress",
        type=click.Choice(["auto", "plain", "json", "quiet"]),
        default="auto",
        envvar="SANDBOX_PROGRESS",
        help="Choose how progress is shown on stderr.",
        callback=_remembered,
    )(command)


def lock_options(command: Command) -> Command:
    """Add `--lock-timeout`: how long to wait for another command on the same sandbox, in seconds."""
    return click.option(
        "--lock-timeout",
        "patience",
        type=seconds(0),
        default=PATIENCE,
        metavar="SECONDS",
        help=f"How long to wait while another command works on the same sandbox.  [default: {PATIENCE:.0f}]",
    )(command)


class OutputOption(click.Option):
    """`-o text|json`; `result` is the type of what is printed as JSON, or a function that imports and returns it."""

    def __init__(self, *arguments: Any, result: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._result = result

    @property
    def result(self) -> Any:
        return self._result() if isinstance(self._result, FunctionType) else self._result


def output_option(result: Any) -> Callable[[Command], Command]:
    """Add `-o text|json`: the form of the result on stdout. See OutputOption for `result`."""
    return click.option(
        "-o",
        "--output",
        cls=OutputOption,
        result=result,
        type=click.Choice(["text", "json"]),
        default="text",
        help="Choose the form of the result on stdout.",
        callback=_remembered,
    )


def _remembered(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Keep the choice where an error of the command is shown from: `FORMS` of the context's `meta`."""
    ctx.meta.setdefault(FORMS, {})[param.name] = value
    return value


def begin(doing: str | None = None, after: str = "") -> None:
    """Start the log and, with `doing`, have signals end the command in an orderly way.

    `doing` is what the command does then, printed at once; `after` is printed at the end: what stays and how to go on.
    Raises UsageError where no file may be made.
    """
    from sandbox.cli import log, signals

    ctx = click.get_current_context()
    log.start(verbose=ctx.obj)
    if doing is not None:
        signals.catch(doing, after, events=ctx.params.get("progress") == "json")


def session(progress: str = "auto", patience: float = PATIENCE) -> Session:
    """Return this command's session: others see it as it was typed, and messages go to stderr by `--progress`."""
    from sandbox.app.session import Session
    from sandbox.cli.log import command_line
    from sandbox.cli.output import note, reporter

    return Session(
        command=command_line(),
        patience=patience,
        say=lambda line: note(progress, line),
        report=reporter(progress),
    )


def sandbox_of(
    file: Path | None,
    name: str | None,
    *,
    yes: bool | None = None,
    progress: str = "auto",
    patience: float = PATIENCE,
) -> Sandbox:
    """Return the sandbox that FILE or NAME mean, or neither. Raises UsageError.

    Commands that change it pass `yes`, the answer to whether it may be another file's; None has that refused.
    """
    from sandbox.app import chosen_spec
    from sandbox.app.core import Sandbox

    with _offering_last_spec(file):
        chosen = chosen_spec.choose(file, name)
    caller = session(progress, patience)
    if yes is None:
        return Sandbox(chosen, session=caller)
    from sandbox.cli.prompts import Asking

    sandbox = Sandbox(chosen, session=caller, agreement=Asking(caller.say, yes=yes))
    if file is None and name:
        sandbox.note_origin()
    return sandbox


def find_spec(file: Path | None, name: str | None) -> Spec:
    from sandbox.app import chosen_spec

    with _offering_last_spec(file):
        return chosen_spec.find(file, name)


@contextmanager
def _offering_last_spec(file: Path | None) -> Iterator[None]:
    """Add to the error for a mistake in FILE how to go by the spec of the last `up` from it, if there was one."""
    from sandbox.app import chosen_spec
    from sandbox.errors import BadFile

    try:
        yield
    except BadFile as error:
        if not error.fix and (name := chosen_spec.up_from(file)):
            error.fix = f"correct it; or go by the spec of the last up, with: -n {name}"
        raise
