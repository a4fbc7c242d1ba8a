"""The errors a user can meet: what happened, the evidence and the fix, so that one boundary can show them all."""

from __future__ import annotations


class SandboxError(Exception):
    """Something failed that the user can understand and mend.

    `brief` says what, `details` is the evidence (a tool's last lines, a path), `fix` is what to type or change next.
    `exit_code` is part of the command line's contract; `id` is stable and names the kind of failure.
    """

    exit_code = 1
    id = "failed"

    def __init__(self, brief: str, *, details: str = "", fix: str = "", id: str | None = None) -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = details
        self.fix = fix
        if id is not None:
            self.id = id

    def __str__(self) -> str:
        return "\n".join(part for part in (self.brief, self.details) if part)


class UsageError(SandboxError):
    """The command line, the spec or a manifest asks for something that makes no sense; nothing was changed."""

    exit_code = 2
    id = "usage"


class MissingTool(SandboxError):
    """A program the sandbox drives, or the Docker Engine, is absent, too old or refuses us."""

    exit_code = 4
    id = "missing-tool"
