"""Turns errors into messages and exit codes, for every command alike."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shlex
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import click

from sandbox.app.context import home
from sandbox.cli import log
from sandbox.cli.output import event_line, has_color, show_json
from sandbox.cli.signals import Terminated
from sandbox.errors import SandboxError, UsageError
from sandbox.system import files

# What the system says of a path that only its user can change, such as a folder where a file has to be.
_REFUSALS = (
    errno.EACCES,
    errno.EFBIG,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
    errno.EROFS,
)
MOST_NAME = 200
_CIRCLE = "Symlink loop from "
_BEFORE = re.compile(r"[\s\"'=,;]")  # what a name ends at
FORM_OPTIONS = {"output": ("-o", "--output"), "progress": ("--progress",)}


class Bug(SandboxError):
    """What no user can cause; its traceback is in the log."""

    exit_code = 3
    id = "bug"


def report(error: BaseException) -> int:
    """Print an error on stderr as what happened, evidence and fix; return the exit code."""
    if known := understood(error):
        with _unless_unwritable():
            _show(known)
        return known.exit_code
    match error:
        case Terminated():
            if error.after:
                with _unless_unwritable():
                    click.echo(error.after, err=True)
            return error.exit_code
        case SystemExit():
            return error.code if isinstance(error.code, int) else 1
    return report(logged(error))


def _unless_unwritable() -> contextlib.AbstractContextManager[None]:
    """Pass over a stderr that is full, or that no one reads: the exit code still tells."""
    return contextlib.suppress(OSError)


def logged(error: BaseException) -> BaseException:
    """Write the traceback of what nothing understands to the log; return the Bug, or the signal that it comes from."""
    if not logging.getLogger("sandbox").handlers:  # a bug before the command began
        with contextlib.suppress(SandboxError):
            log.start(verbose=False)
    logging.getLogger(__name__).error("".join(traceback.format_exception(error)))
    return Terminated.raised or Bug(
        f"{type(error).__name__}: {error}",
        details=f"this is a bug in sandbox, please report it; details in {home().log}",
    )


def understood(error: BaseException) -> SandboxError | None:
    """Return the error that users see of what ended a command; None for a bug, and for what is no error."""
    match error:
        case SandboxError():
            return error
        case FileNotFoundError() if _is_nowhere():
            return SandboxError("the current folder does not exist any more", fix="cd to another one", id="file")
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return SandboxError("a disk is full", details=str(error), fix="find it with: df -h", id="disk-full")
        case FileNotFoundError() if "temporary directory" in str(error):  # of tempfile, which names the folders
            return SandboxError(
                "no folder for temporary files can be written",
                details=str(error),
                fix="set TMPDIR to a folder that you may write to",
                id="file",
            )
        case OSError(errno=number) if number in _REFUSALS and error.filename:
            return files.refused(f"{error.filename} cannot be used", error)
        case UnicodeEncodeError(object=text, start=place) if "\ud800" <= text[place] <= "\udfff":
            # How Python has bytes of names, variables and arguments that are not UTF-8 (PEP 383).
            name = _BEFORE.split(text[:place])[-1] + _BEFORE.split(text[place:])[0]
            return UsageError(
                f"{os.fsencode(name[:MOST_NAME])!r} is not in UTF-8",
                details="the engine, Kubernetes and the sandbox's files know names in UTF-8 only",
                fix="give the folder, the file or the variable a name in UTF-8",
            )
        case MemoryError() | OSError(errno=errno.EMFILE | errno.ENFILE | errno.ENOMEM):
            return _limited(error)
        case RuntimeError() if str(error).startswith(_CIRCLE):  # of Path.resolve before Python 3.13
            path = str(error).removeprefix(_CIRCLE).strip("'\"")
            return SandboxError(
                f"{path} cannot be used", details="it is a link in a circle", fix=f"rm {shlex.quote(path)}", id="file"
            )
        case RuntimeError() if "can't start new thread" in str(error):  # the interpreter has no class for it
            return _limited(error)
    return None


def report_usage(error: click.ClickException, words: Sequence[str]) -> int:
    """Report what click refuses in a command line, `words`, to people and to programs; return the exit code."""
    context = error.ctx if isinstance(error, click.UsageError) else None  # click does not always say which command
    told = UsageError(
        error.format_message(),
        details=context.get_usage() if context else "",
        fix=f"see: {context.command_path if context else 'sandbox'} --help",
    )
    with _unless_unwritable():
        if not tell_programs(told, _asked_for(words, context.command.params if context else ())):
            error.show()
    return error.exit_code


def _asked_for(words: Sequence[str], options: Sequence[click.Parameter]) -> dict[str, str]:
    """Return the forms that a refused command line asks for: click may have stopped before it came to them.

    One of the command's `options` that is for something else, such as `-o` of `sandbox doctor archive`, asks for none.
    """
    own = {name: one.type for one in options for name in one.opts}
    found = {"progress": os.environ.get("SANDBOX_PROGRESS", "")} if "--progress" in own else {}
    for form, names in FORM_OPTIONS.items():
        written = any((name, "json") in pairwise(words) or {f"{name}=json", f"{name}json"} & {*words} for name in names)
        if written and all(isinstance(own[name], click.Choice) for name in names if name in own):
            found[form] = "json"
    return found


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


def tell_programs(error: SandboxError, forms: Mapping[str, str]) -> bool:
    """Print an error as JSON: as the result with `-o json`, as the last event with `--progress json`.

    Returns whether it went to stderr, in the second case: then there is no message for people.
    """
    if forms.get("output") == "json" and not error.reported:
        show_json(Failure(error_of(error)))
    if forms.get("progress") != "json":
        return False
    click.echo(event_line("error", **asdict(error_of(error))), err=True)
    return True


def error_of(error: SandboxError) -> Error:
    return Error(error.id, error.brief, error.details, error.fix, error.exit_code)


def _show(error: SandboxError) -> None:
    head = "bug:" if isinstance(error, Bug) else f"error[{error.id}]:"
    brief = " ".join(error.brief.splitlines())  # a name of several lines would look like its fix
    click.echo(f"{_red(head, bold=True)} {brief}", err=True)
    for line in error.details.splitlines():
        click.echo(f"  {line}", err=True)
    lines = error.fix.splitlines()
    for number, line in enumerate(lines):
        click.echo(f"{'fix:' if number == 0 else '    '} {line}", err=True)
    for note in getattr(error, "__notes__", ()):  # what the doctor found
        click.echo(_red("✗") + note[1:] if note.startswith("✗") else note, err=True)


def _limited(error: BaseException) -> SandboxError:
    return SandboxError(
        "the command got no more memory, threads or open files",
        details=str(error),
        fix="raise the limits: ulimit -a shows this shell's, a container or a service has its own",
        id="limits",
    )


def _is_nowhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _red(text: str, *, bold: bool | None = None) -> str:
    return click.style(text, fg="red", bold=bold) if has_color(sys.stderr) else text
