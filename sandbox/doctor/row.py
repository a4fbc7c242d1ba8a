"""What a look of the doctor comes to: a status, the evidence for it, and what to do."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sandbox.errors import SandboxError
from sandbox.sanitize import fit

WHICH = "{which}"


class Status(enum.Enum):
    """WARN works but may surprise; ERROR keeps something from working; SKIPPED could not or need not be seen."""

    OK = "ok"
    WARN = "warn"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What one look found; an empty `fix` stands for that of the check."""

    status: Status
    evidence: str
    fix: str = ""


@dataclass(frozen=True)
class Row:
    """A finding under its stable id; only WARN and ERROR carry a fix."""

    id: str
    status: Status
    evidence: str
    fix: str

    def as_json(self) -> dict[str, str]:
        """The row as `-o json` prints it."""
        return {**asdict(self), "status": self.status.value}


def ok(evidence: str) -> Finding:
    """All is well, and this is what was seen."""
    return Finding(Status.OK, evidence)


def warn(evidence: str, fix: str = "") -> Finding:
    """It works, but may surprise."""
    return Finding(Status.WARN, evidence, fix)


def error(evidence: str, fix: str = "") -> Finding:
    """Something does not work, or will not."""
    return Finding(Status.ERROR, evidence, fix)


def skipped(reason: str) -> Finding:
    """Not looked at, for `reason`."""
    return Finding(Status.SKIPPED, reason)


def failed(trouble: SandboxError | OSError) -> Finding:
    """The look itself failed, and that is the finding."""
    if isinstance(trouble, SandboxError):
        return error(
            ": ".join(part for part in (trouble.brief, *trouble.details.splitlines()[-1:]) if part), trouble.fix
        )
    return error(str(trouble))


def row(id: str, finding: Finding, *, fix: str, which: str) -> Row:
    """The row of a finding; `fix` is the check's own, for findings that have none.

    In either, `{which}` stands for the words that say which sandbox is meant.
    """
    evidence = fit(finding.evidence)
    mend = finding.status in (Status.WARN, Status.ERROR)
    return Row(id, finding.status, evidence, (finding.fix or fix).replace(WHICH, which) if mend else "")


def is_sick(rows: Iterable[Row]) -> bool:
    """Whether any of them is an error."""
    return any(one.status is Status.ERROR for one in rows)
