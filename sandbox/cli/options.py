"""The options that several commands share, and what they mean: a command gets their values as its `Call`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandbox.cli import log, output, signals
from sandbox.cli.completion import sandboxes

if TYPE_CHECKING:  # slow to import, and not needed by every command
    from sandbox.app.core import Sandbox
    from sandbox.app.session import Session
    from sandbox.config.schema import Spec
    from sandbox.kube.api import Cluster
    from sandbox.names import Names

# Seconds to wait for another command on the same sandbox: longer than any `up` takes.
PATIENCE = 600.0
CALL = "sandbox.call"  # the key of a context's `meta` for the Call

Command = Callable[..., Any]


@dataclass
class Call:
    """The shared options of one command line; `yes` is None for commands that change nothing."""

    file: Path | None = None
    name: str | None = None
    yes: bool | None = None
    dry_run: bool = False
    output: str = "text"
    progress: str = "auto"
    patience: float = PATIENCE

    @cached_property
    def session(self) -> Session:
        from sandbox.app.session import Session

        return Session(
            command=log.command_line(),
            patience=self.patience,
            say=lambda line: output.note(self.progress, line),
            report=output.reporter(self.progress),
        )

    def say(self, line: str) -> None:
        self.session.say(line)

    def spec(self) -> Spec:
        from sandbox.app import chosen_spec

        return chosen_spec.find(self.file, self.name)

    def sandbox(self) -> Sandbox:
        """Return the sandbox; a command with `--yes` asks before it changes the sandbox of another file."""
        from sandbox.app import chosen_spec
        from sandbox.app.core import Sandbox

        chosen = chosen_spec.choose(self.file, self.name)
        if self.yes is None:
            return Sandbox(chosen, session=self.session)
        from sandbox.cli.prompts import Asking

        return Sandbox(chosen, session=self.session, agreement=Asking(yes=self.yes))

    def running(self) -> tuple[Names, Cluster, str | None]:
        """Return the sandbox, its cluster, and in an existing cluster the only namespace that it may use.

        Raises SandboxError if the sandbox is not up, or stopped.
        """
        from sandbox.app import context
        from sandbox.app.running import project_workloads
        from sandbox.app.views import known_sandboxes

        names = context.home().sandbox(self.spec().name)
        cluster, namespace = project_workloads.cluster_of(names)
        if (trouble := cluster.trouble()) and known_sandboxes.is_stopped(names.name):
            raise known_sandboxes.not_up(names.name, trouble)
        return names, cluster, namespace

    def show(self, result: Any, lines: Iterable[str], *, none: str = "") -> None:
        """Print a result on stdout, as JSON or as lines; where there are no lines, print `none` on stderr."""
        if self.output == "json":
            click.echo(output.as_text(result))
        elif text := "\n".join(lines):
            click.echo(text)
        elif none:
            click.echo(none, err=True)


def call() -> Call:
    current: Call = click.get_current_context().meta.setdefault(CALL, Call())
    return current


def begin(doing: str | None = None, after: str = "") -> Call:
    """Start the log and, with `doing`, have signals end the command in an orderly way: see `signals.catch`."""
    log.start(verbose=click.get_current_context().obj)
    if doing is not None:
        signals.catch(doing, after, events=call().progress == "json")
    return call()


class Port(click.ParamType["int | str"]):
    name = "port|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if str(value).endswith("/udp"):
            self.fail("UDP has no port of this machine: use the address of a Service of type LoadBalancer", param, ctx)
        if value == "auto" or (str(value).isdecimal() and 0 < int(value) < 2**16):
            return "auto" if value == "auto" else int(value)
        self.fail(f"{value!r} is not a port: write one from 1 to 65535, or auto", param, ctx)


def seconds(at_least: float) -> click.FloatRange:
    """Take seconds up to a day: with more than a day, the system's own timers fail."""
    return click.FloatRange(at_least, 24 * 60 * 60)


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Put a value into the Call; the argument NAME comes before `-n`, and `-q` before `--progress`."""
    kept: Call = ctx.meta.setdefault(CALL, Call())
    name = "name" if param.name == "named" else str(param.name)
    if name == "name" and value and kept.name and value != kept.name:
        raise click.UsageError(f"NAME is {kept.name}, and -n is {value}: give one of them")
    if value is not None and not (name == "progress" and kept.progress == "quiet"):
        setattr(kept, name, value)


def _shared(*names: str, **settings: Any) -> Callable[[Command], Command]:
    return click.option(*names, expose_value=False, callback=_keep, **settings)


def name_option(help: str = "The sandbox.  [default: that of the spec]") -> Callable[[Command], Command]:
    return _shared("-n", "--name", help=help, shell_complete=sandboxes)


def file_option(*names: str) -> Callable[[Command], Command]:
    help = "The spec.  [default: sandbox.yaml here or in a folder above]"
    return _shared(*names, type=click.Path(path_type=Path), help=help)


def yes_option(help: str = "Do not ask.") -> Callable[[Command], Command]:
    return _shared("--yes", is_flag=True, help=help)


dry_run_option = _shared("--dry-run", is_flag=True, help="Show what would change, and change nothing.")


def spec_options(command: Command) -> Command:
    return name_option()(file_option("-f", "--file")(command))


def named_spec_options(command: Command) -> Command:
    """Add `-n NAME` and `-f FILE`, and NAME as an argument."""
    argument = click.argument(
        "named",
        metavar="[NAME]",
        required=False,
        shell_complete=sandboxes,
        is_eager=True,
        expose_value=False,
        callback=_keep,
    )
    return argument(spec_options(command))


def progress_option(command: Command) -> Command:
    """Add `--progress` and `-q`: the form of messages on stderr."""
    help = "Show errors only, like --progress quiet."
    quiet = _shared("-q", "--quiet", "progress", flag_value="quiet", type=str, is_eager=True, help=help)
    choice = _shared(
        "--progress",
        type=click.Choice(["auto", "plain", "json", "quiet"]),
        default="auto",
        envvar="SANDBOX_PROGRESS",
        help="Choose how progress is shown on stderr.",
    )
    return choice(quiet(command))


def change_options(help: str = "Do not ask about a sandbox of another file.") -> Callable[[Command], Command]:
    """Add `--yes`, `--lock-timeout`, `--progress` and `-q`: the options of a command that changes a sandbox."""
    timeout = _shared(
        "--lock-timeout",
        "patience",
        type=seconds(0),
        default=PATIENCE,
        metavar="SECONDS",
        help=f"How long to wait while another command works on the same sandbox.  [default: {PATIENCE:.0f}]",
    )
    return lambda command: yes_option(help)(timeout(progress_option(command)))


class OutputOption(click.Option):
    """`-o text|json`; `result` is the type of what is printed as JSON."""

    def __init__(self, *arguments: Any, result: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.result = result


def output_option(result: Any) -> Callable[[Command], Command]:
    return _shared(
        "-o",
        "--output",
        cls=OutputOption,
        result=result,
        type=click.Choice(["text", "json"]),
        default="text",
        help="Choose the form of the result on stdout.",
    )
