"""A check as a value, and the walk that runs many at once and gives up on none that answers in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sandbox.doctor.doctor_context import Contact, Scene
from sandbox.doctor.row import Finding, Row, failed, row, skipped, warn
from sandbox.errors import SandboxError

LEAST = 1.0
WIDTH = 16


class Subject(Protocol):
    """What is looked at."""

    @property
    def which(self) -> str:
        """How a command is told which sandbox is meant."""


Looked = TypeVar("Looked", bound=Subject)


@dataclass(frozen=True)
class Check(Generic[Looked]):
    """One look at a subject, a Scene for most: its stable id, what is so when all is well, what to do otherwise.

    `mend` does that, where it is safe to do without asking.
    """

    id: str
    about: str
    fix: str
    look: Callable[[Looked], Finding]
    mend: Callable[[Looked], None] | None = None


def run(checks: Sequence[Check[Looked]], subject: Looked, *, seconds: float) -> tuple[Row, ...]:
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


def with_engine(scene: Scene) -> Contact:
    """The engine. Raises the reason why there is none, which the check of the engine itself reports."""
    if isinstance(scene.contact, SandboxError):
        raise NoEngine
    return scene.contact


class NoEngine(Exception):
    """A check needs the engine, and there is none."""


def finding(check: Check[Looked], subject: Looked) -> Finding:
    """What the check finds, here and now; a look that fails is a finding too."""
    try:
        return check.look(subject)
    except NoEngine:
        return skipped("needs the Docker Engine")
    except (SandboxError, OSError) as trouble:
        return failed(trouble)
