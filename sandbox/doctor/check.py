"""A check of the doctor: what it inspects, the row it gives, running many at once, and the repair of some."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from typing import Generic, Protocol, TypeVar

from sandbox.doctor.doctor_context import DoctorContext, EngineProbe
from sandbox.errors import SandboxError
from sandbox.sanitize import fit

WHICH = "{which}"
LEAST = 1.0
WIDTH = 16


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
    repair = finding.status in (Status.WARN, Status.ERROR)
    return Row(id, finding.status, evidence, (finding.fix or fix).replace(WHICH, which) if repair else "")


def has_errors(rows: Iterable[Row]) -> bool:
    """Whether any of them is an error."""
    return any(one.status is Status.ERROR for one in rows)


class Subject(Protocol):
    """What is looked at."""

    @property
    def which(self) -> str:
        """How a command is told which sandbox is meant."""


SubjectT = TypeVar("SubjectT", bound=Subject)


@dataclass(frozen=True)
class Check(Generic[SubjectT]):
    """One check of a subject, mostly a DoctorContext: its stable id, what it checks, and the fix.

    `repair` carries out the fix where that is safe without asking.
    """

    id: str
    about: str
    fix: str
    look: Callable[[SubjectT], Finding]
    repair: Callable[[SubjectT], None] | None = None


def run(checks: Sequence[Check[SubjectT]], subject: SubjectT, *, seconds: float) -> tuple[Row, ...]:
    """The row of every check, in order; whichever takes longer than `seconds` in all is not waited for.

    A thread that still hangs afterwards does not keep the caller.
    """
    deadline = time.monotonic() + seconds
    pool = ThreadPoolExecutor(WIDTH)
    asked = [pool.submit(finding, check, subject) for check in checks]
    wait(asked, max(0.0, deadline - time.monotonic()))
    pool.shutdown(wait=False, cancel_futures=True)
    late = warn(f"no answer within {seconds:g} s")
    return tuple(
        row(check.id, one.result() if one.done() and not one.cancelled() else late, fix=check.fix, which=subject.which)
        for check, one in zip(checks, asked, strict=True)
    )


def with_engine(context: DoctorContext) -> EngineProbe:
    """The engine. Raises the reason why there is none, which the check of the engine itself reports."""
    if isinstance(context.docker, SandboxError):
        raise NoEngine
    return context.docker


class NoEngine(Exception):
    """A check needs the engine, and there is none."""


def finding(check: Check[SubjectT], subject: SubjectT) -> Finding:
    """What the check finds, here and now; a look that fails is a finding too."""
    try:
        return check.look(subject)
    except NoEngine:
        return skipped("needs the Docker Engine")
    except (SandboxError, OSError) as trouble:
        return failed(trouble)


def repair(checks: Sequence[Check[DoctorContext]], rows: Sequence[Row], context: DoctorContext) -> tuple[Row, ...]:
    """The rows, those that could be repaired looked at once more; what could not be is as it was."""
    return tuple(
        _repaired(check, one, context) if check.repair and one.status in (Status.WARN, Status.ERROR) else one
        for check, one in zip(checks, rows, strict=True)
    )


def _repaired(check: Check[DoctorContext], before: Row, context: DoctorContext) -> Row:
    try:
        if check.repair:
            check.repair(context)
    except (SandboxError, OSError):  # not permitted; the row's fix says how
        return before
    after = row(check.id, finding(check, context), fix=check.fix, which=context.which)
    if after.status is not Status.OK:
        return after
    return Row(after.id, after.status, f"{after.evidence} (repaired: {before.evidence})", after.fix)
