"""The errors that users see: what happened, the evidence and the fix, all shown in one way by the command line."""

import re

from sandbox.sanitize import fit


class SandboxError(Exception):
    """An error that the user can understand and repair.

    `brief` says what happened, `details` is the evidence (a tool's last lines, a path), `fix` is what to type or change
    next. `exit_code` is part of the command line's contract; `id` is stable and names the kind of error, which
    `sandbox.advice` explains. All texts are safe to show, whatever their source. `reported` says that the command's
    result on stdout contains the error already.
    """

    exit_code = 1
    id = "failed"
    reported = False

    def __init__(self, brief: str, *, details: str = "", fix: str = "", id: str | None = None) -> None:
        super().__init__(fit(brief))
        self.brief = fit(brief)
        self.details = fit(details)
        self.fix = fit(fix)
        if id is not None:
            self.id = id

    def __str__(self) -> str:
        return "\n".join(part for part in (self.brief, self.details) if part)


FULL = re.compile(r"no space left on device|disk quota exceeded|\"Err\": ?28\b", re.IGNORECASE)
"""What servers say when their disk is full, in words or, as the registry of Debian 12, by number (ENOSPC)."""


class Away(SandboxError):
    """Something that everything depends on, such as the engine, went away and may come back: try again."""


class UsageError(SandboxError):
    """The command line, the spec or a manifest makes no sense as it is; nothing was changed."""

    exit_code = 2
    id = "usage"


class BadFile(UsageError):
    """A file of the user's, such as sandbox.yaml, has a mistake in it or cannot be read."""

    id = "bad-file"


class MissingTool(SandboxError):
    """A program that the sandbox needs, or the Docker Engine, is missing, too old or refuses access."""

    exit_code = 4
    id = "missing-tool"


LONGEST = 2000  # characters of a program's output in its error


def succeeded(ran: tuple[int, str], otherwise: str) -> str:
    """Return the output of a command, of which `ran` has the exit status too.

    Raises SandboxError `otherwise`, with the end of the output.
    """
    status, output = ran
    if status != 0:
        raise SandboxError(otherwise, details=output[-LONGEST:])
    return output
