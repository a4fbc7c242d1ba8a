"""A check of the doctor: what it inspects, the row it gives, running many at once or in order, and repairs."""

import enum
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as TooLong
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Engine
from sandbox.errors import MissingTool, SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Home, Names
from sandbox.sanitize import fit

WHICH = "{which}"
LEAST = 1.0  # seconds that all checks get, however long the engine took for its first answer
WIDTH = 16  # checks that run at once


class NoEngine(Exception):
    """Raised by a check that needs the engine where none answers; the check of the engine reports why."""


@dataclass(frozen=True)
class DoctorContext:
    """One sandbox on this machine; `docker` is the engine, or the error if none answers. `now` has a time zone.

    `which` are the arguments that name the sandbox, such as ` -n NAME`. All checks together may take `seconds`.
    """

    spec: ResolvedSpec
    home: Home
    environment: Mapping[str, str]
    docker: Engine | SandboxError
    now: datetime
    which: str = ""
    seconds: float = 30.0

    @property
    def names(self) -> Names:
        return self.home.sandbox(self.spec.name)

    @property
    def engine(self) -> Engine:
        if isinstance(self.docker, SandboxError):
            raise NoEngine
        return self.docker

    @property
    def cluster(self) -> Cluster:
        if not self.names.kubeconfig.exists():
            raise SandboxError("there is no sandbox yet", fix=f"sandbox up{self.which}", id="not-up")
        return Cluster(self.names.kubeconfig)


def probe_engine(seconds: float) -> Engine | SandboxError:
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(_reach).result(seconds)
    except TooLong:
        return MissingTool(
            f"the Docker Engine has not answered for {seconds:g} s",
            fix="read its log (journalctl -u docker) and restart it",
            id="engine-hangs",
        )
    except SandboxError as trouble:
        return trouble
    finally:
        pool.shutdown(wait=False)


def _reach() -> Engine:
    engine = Engine.connect()
    engine.facts()
    return engine


class Status(enum.StrEnum):
    """WARN: it works but may surprise; ERROR: something does not work; SKIPPED: not checked."""

    OK = "ok"
    WARN = "warn"
    ERROR = "error"
    SKIPPED = "skipped"


FIXABLE = (Status.WARN, Status.ERROR)


@dataclass(frozen=True)
class Finding:
    """The result of one check; an empty `fix` stands for that of the check."""

    status: Status
    evidence: str
    fix: str = ""


@dataclass(frozen=True)
class Row:
    """A finding with the stable id of its check; only WARN and ERROR have a fix."""

    id: str
    status: Status
    evidence: str
    fix: str


def ok(evidence: str) -> Finding:
    return Finding(Status.OK, evidence)


def warn(evidence: str, fix: str = "") -> Finding:
    return Finding(Status.WARN, evidence, fix)


def error(evidence: str, fix: str = "") -> Finding:
    return Finding(Status.ERROR, evidence, fix)


def skipped(reason: str) -> Finding:
    return Finding(Status.SKIPPED, reason)


def failed(trouble: SandboxError | OSError) -> Finding:
    if isinstance(trouble, SandboxError):
        parts = (trouble.brief, *trouble.details.splitlines()[-1:])
        return error(": ".join(part for part in parts if part), trouble.fix)
    return error(str(trouble))


def row(id: str, finding: Finding, *, fix: str, which: str) -> Row:
    """Return the row of a finding; `fix` is for findings without one, and `which` replaces `{which}` in it."""
    advice = (finding.fix or fix).replace(WHICH, which) if finding.status in FIXABLE else ""
    return Row(id, finding.status, fit(finding.evidence), advice)


@dataclass(frozen=True)
class Check:
    """One check: its stable id, what it checks, the fix, and a function of a DoctorContext or of a trace.

    `repair` carries out the fix where that is safe without asking.
    """

    id: str
    about: str
    fix: str
    inspect: Callable[[Any], Finding]
    repair: Callable[[DoctorContext], None] | None = None


def run(checks: Sequence[Check], context: DoctorContext, *, seconds: float) -> tuple[Row, ...]:
    """Run all checks at once and return their rows in order, after `seconds` at most.

    A check that takes longer gives a warning; its thread does not keep the caller waiting.
    """
    deadline = time.monotonic() + seconds
    pool = ThreadPoolExecutor(WIDTH)
    futures = [pool.submit(checked, check, context) for check in checks]
    wait(futures, max(0.0, deadline - time.monotonic()))
    pool.shutdown(wait=False, cancel_futures=True)
    late = warn(f"no answer within {round(seconds, 1):g} s")
    return tuple(
        future.result()
        if future.done() and not future.cancelled()
        else row(check.id, late, fix=check.fix, which=context.which)
        for check, future in zip(checks, futures, strict=True)
    )


def follow(checks: Iterable[Check], trace: Any) -> Iterator[Row]:
    """Run checks one after another, and yield each row at once; the checks after the first error are skipped."""
    wrong = ""
    for check in checks:
        if wrong:
            yield Row(check.id, Status.SKIPPED, f"not checked: {wrong} failed", "")
            continue
        result = checked(check, trace)
        wrong = check.id if result.status is Status.ERROR else ""
        yield result


def checked(check: Check, subject: Any) -> Row:
    """Return the row of a check; `subject.which` are the arguments that name the sandbox."""
    try:
        finding = check.inspect(subject)
    except NoEngine:
        finding = skipped("needs the Docker Engine")
    except (SandboxError, OSError) as trouble:
        finding = failed(trouble)
    return row(check.id, finding, fix=check.fix, which=subject.which)


def repair(checks: Sequence[Check], rows: Iterable[Row], context: DoctorContext) -> tuple[Row, ...]:
    results = {row.id: row for row in rows}
    for check in checks:
        before = results[check.id]
        if check.repair is None or before.status not in FIXABLE:
            continue
        with suppress(SandboxError, OSError):  # not permitted; the row's fix tells what to do
            check.repair(context)
            after = checked(check, context)
            if after.status is Status.OK:
                after = replace(after, evidence=f"{after.evidence} (repaired: {before.evidence})")
            results[check.id] = after
    return tuple(results.values())
