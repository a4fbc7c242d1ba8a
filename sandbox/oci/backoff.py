"""How often a request is tried again and how long to wait before, by our own patience or the server's word; pure."""

from __future__ import annotations

import contextlib
from email.utils import parsedate_to_datetime

TRIES = 4
TRIES_WHEN_BUSY = 8
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
JITTER = 0.25


def tries(status: int | None) -> int:
    """Return how often a request is sent at most; a server that only asks for patience gets more of it."""
    return TRIES_WHEN_BUSY if status == 429 else TRIES


def pause(attempt: int, luck: float = 0.0) -> float:
    """Seconds to wait after the failed try number `attempt` (from 0): doubling, up to LONGEST_PAUSE.

    `luck`, from 0 to 1, spreads clients that failed together over JITTER of the time.
    """
    return min(FIRST_PAUSE * (1 << attempt) * (1 + JITTER * luck), LONGEST_PAUSE)


def asked(retry_after: str | None, now: float) -> float | None:
    """Seconds a server asks us to wait (`Retry-After`: seconds or a date; RFC 9110, 10.2.3), at most LONGEST_PAUSE.

    `now` is the time of day in seconds since 1970. None when it does not say, or nothing that can be read.
    """
    text = (retry_after or "").strip()
    seconds: float | None = None
    if text.isascii() and text.isdigit():
        seconds = float(text)
    elif text:
        with contextlib.suppress(ValueError, OverflowError):
            seconds = parsedate_to_datetime(text).timestamp() - now
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_PAUSE)
