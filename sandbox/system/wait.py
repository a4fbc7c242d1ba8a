"""The only place that waits for the world to change: a deadline, a way to give up, the last state in the error."""

from __future__ import annotations

import time
from collections.abc import Callable

from sandbox.errors import SandboxError
from sandbox.system import interruption


class WaitTimeout(SandboxError):
    """What was waited for did not happen in time; `details` holds the last state seen."""

    id = "timeout"


def wait_until(
    ready: Callable[[], str | None],
    *,
    what: str,
    timeout: float,
    pause: float = 0.2,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = interruption.pause,
) -> None:
    """Return once `ready()` returns None; it returns the present state, for people, as long as it is not there yet.

    `ready` raises to give up at once on a state that cannot become good. Seconds throughout. Raises WaitTimeout.
    """
    deadline = clock() + timeout
    while (state := ready()) is not None:
        if clock() >= deadline:
            raise WaitTimeout(f"{what}: not ready after {timeout:.0f} s", details=state)
        sleep(pause)
