"""The errors a user can meet: what happened, the evidence and the fix, so that one boundary can show them all."""

from __future__ import annotations

import re

from sandbox.sanitize import fit


class SandboxError(Exception):
    """Something failed that the user can understand and repair.

    `brief` says what, `details` is the evidence (a tool's last lines, a path), `fix` is what to type or change next.
    `exit_code` is part of the command line's contract; `id` is stable and names the kind of failure, on which
    `sandbox.advice` has more. All of it is fit to be shown, whatever its source. `reported`
    says that the command's result on stdout has told of it.
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
    """What everything stands on, such as the engine, went away in the middle, and may come back: worth another try."""


class UsageError(SandboxError):
    """The command line, the spec or a manifest asks for something that makes no sense; nothing was changed."""

    exit_code = 2
    id = "usage"


class BadFile(UsageError):
    """A file of the user's, such as sandbox.yaml, has a mistake in it or cannot be read."""

    id = "bad-file"


class MissingTool(SandboxError):
    """A program the sandbox drives, or the Docker Engine, is absent, too old or refuses us."""

    exit_code = 4
    id = "missing-tool"
