"""Waiting for a state with a deadline."""

import time
from collections.abc import Callable

from sandbox.errors import SandboxError
from sandbox.system import interruption

SAY_EVERY = 10.0  # seconds


class WaitTimeout(SandboxError):
    id = "timeout"


def wait_until(
    ready: Callable[[], str | None],
    *,
    what: str,
    timeout: float,
    fix: str = "",
    pause: float = 0.2,
    say: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = interruption.pause,
) -> None:
    """Return once `ready()` returns None; until then it returns the present state, for people.

    `ready` raises to give up at once on a state that cannot become good. `say` gets the first line of a state when it
    is new, and every SAY_EVERY. Seconds throughout. Raises WaitTimeout.
    """
    deadline, last_line, again = clock() + timeout, "", 0.0
    while (state := ready()) is not None:
        if (now := clock()) >= deadline:
            raise WaitTimeout(f"{what}: not ready after {timeout:.0f} s", details=state, fix=fix)
        line = state.partition("\n")[0]
        if line != last_line or now >= again:
            last_line, again = line, now + SAY_EVERY
            say(line)
        sleep(pause)
