"""Turns errors into messages and exit codes, for every command alike."""

import contextlib
import errno
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import click

from sandbox.app.context import home
from sandbox.cli import log, output
from sandbox.cli.signals import Terminated
from sandbox.errors import SandboxError, UsageError
from sandbox.system import files


class Bug(SandboxError):
    """What no user can cause; its traceback is in the log."""

    exit_code = 3
    id = "bug"


@dataclass(frozen=True)
class Error:
    """What happened (`brief`), the evidence, and what to type next."""

    id: str
    brief: str
    details: str
    fix: str
    exit_code: int


@dataclass(frozen=True)
class Failure:
    """What a command with `-o json` prints when it fails."""

    error: Error


def report(error: BaseException, words: Sequence[str] = ()) -> int:
    """Print what ended the command line `words`, for people or as JSON; return the exit code."""
    match error:
        case click.exceptions.Abort() | KeyboardInterrupt():
            return 128 + 2
        case SystemExit() if output.is_unread(sys.stdout):  # how click ends a command whose output no program reads
            return 0  # as `head` closes its end early
        case SystemExit():  # how click ends a completion
            return error.code if isinstance(error.code, int) else 1
    shown = understood(error)
    if shown is None:
        if not logging.getLogger("sandbox").handlers:  # a bug before the command began
            with contextlib.suppress(SandboxError):
                log.start(verbose=False)
        logging.getLogger(__name__).error("".join(traceback.format_exception(error)))
        shown = Terminated.raised or Bug(
            f"{type(error).__name__}: {error}",
            details=f"this is a bug in sandbox, please report it; details in {home().log}",
        )
    with contextlib.suppress(OSError):  # a stderr that is full, or that no one reads: the exit code still tells
        if isinstance(shown, SandboxError):
            _print(shown, words)
        elif shown.after:
            click.echo(shown.after, err=True)
    return shown.exit_code


def understood(error: BaseException) -> SandboxError | Terminated | None:
    """Return the error that users see of what ended a command; None for a bug."""
    match error:
        case SandboxError() | Terminated():
            return error
        case click.ClickException():
            context = error.ctx if isinstance(error, click.UsageError) else None
            command = context.command_path if context else "sandbox"
            usage = context.get_usage() if context else ""
            return UsageError(error.format_message(), details=usage, fix=f"see: {command} --help")
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return SandboxError("a disk is full", details=str(error), fix="find it with: df -h", id="disk-full")
        case MemoryError() | OSError(errno=errno.EMFILE | errno.ENFILE | errno.ENOMEM):
            return _limited(error)
        case RuntimeError() if "can't start new thread" in str(error):  # the interpreter has no class for it
            return _limited(error)
        case RuntimeError() if "Symlink loop" in str(error):  # of Path.resolve before Python 3.13
            return SandboxError("a link leads to itself", details=str(error), fix="remove that link", id="file")
        case FileNotFoundError() if "temporary directory" in str(error):  # of tempfile, which names the folders
            return files.refused("no folder for temporary files can be written: set TMPDIR to one", error)
        case FileNotFoundError() if _is_nowhere():
            return SandboxError("the current folder does not exist any more", fix="cd to another one", id="file")
        case OSError() if error.filename:
            return files.refused(f"{error.filename} cannot be used", error)
        case UnicodeEncodeError(encoding="utf-8"):  # of a name, a variable or an argument (PEP 383)
            fix = "give the folder, the file or the variable a name in UTF-8"
            return UsageError("a name is not in UTF-8", details=str(error), fix=fix)
    return None


def error_of(error: SandboxError) -> Error:
    return Error(error.id, error.brief, error.details, error.fix, error.exit_code)


def _print(error: SandboxError, words: Sequence[str]) -> None:
    own = words[: words.index("--")] if "--" in words else words  # the rest is of another program
    if _asks_json(own, "-o", "--output") and not error.reported:
        with contextlib.suppress(OSError):  # stdout may be full or unread, and stderr not
            click.echo(output.as_text(Failure(error_of(error))))
    if _asks_json(own, "--progress") or (words and os.environ.get("SANDBOX_PROGRESS") == "json"):
        click.echo(output.event_line("error", **asdict(error_of(error))), err=True)
        return
    color = "red" if output.has_color(sys.stderr) else None
    head = "bug:" if isinstance(error, Bug) else f"error[{error.id}]:"
    brief = " ".join(map(str.strip, error.brief.splitlines()))  # a name of several lines would look like its fix
    click.echo(f"{click.style(head, fg=color, bold=True) if color else head} {brief}", err=True)
    for line in error.details.splitlines():
        click.echo(f"  {line}", err=True)
    if error.fix:
        click.echo("fix: " + error.fix.replace("\n", "\n     "), err=True)
    for note in getattr(error, "__notes__", ()):  # what the doctor found
        click.echo(click.style("✗", fg=color) + note[1:] if color and note.startswith("✗") else note, err=True)


def _asks_json(words: Sequence[str], *options: str) -> bool:
    """Return whether an option has the value `json`: click may have stopped before it came to that option."""
    return any(
        (option, "json") in pairwise(words) or {f"{option}=json", f"{option}json"} & {*words} for option in options
    )


def _limited(error: BaseException) -> SandboxError:
    return SandboxError(
        "the command got no more memory, threads or open files",
        details=str(error),
        fix="raise the limits: ulimit -a shows this shell's, a container or a service has its own",
        id="limits",
    )


def _is_nowhere() -> bool:
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return True
    return False
