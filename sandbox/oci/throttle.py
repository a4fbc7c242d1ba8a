"""The number of requests to one host at once: fewer when the host refuses some, more again after a while.

The window follows AIMD, the rule by which TCP senders share a line: a refusal halves it, calm adds one. Requests are in
two lanes, so that a HEAD, a mount, a manifest or a small blob never waits for gigabytes.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Self

from sandbox.system import interruption

LIMIT = 6
SMALL_BODY = 1 << 20
CALM = 1.0


class Lane(Enum):
    """The lane of a request: it is over at once, or occupies its connection for as long as a large body takes."""

    SMALL = "small"
    LARGE = "large"

    @property
    def other(self) -> Lane:
        return Lane.LARGE if self is Lane.SMALL else Lane.SMALL


def lane(size: int | None) -> Lane:
    """Return the lane of a request with a body of `size` bytes; a body of unknown size may be large."""
    return Lane.SMALL if size is not None and size <= SMALL_BODY else Lane.LARGE


@dataclass(frozen=True)
class Window:
    """What is known of a host: at most `limit` requests at once, and none before `resume`.

    All times are seconds of one monotonic clock. Pure: each event returns a new window.
    """

    ceiling: int
    limit: int
    resume: float = -math.inf
    lowered: float = -math.inf
    changed: float = -math.inf

    def refused(self, now: float, begun: float, wait: float) -> Window:
        """Return the window after a 429 or 503 to a request begun at `begun`, with a pause of `wait` seconds for all.

        Requests that were running when the limit was lowered say nothing about the new one and do not lower it again.
        """
        paused = replace(self, resume=max(self.resume, now + wait))
        if begun < self.lowered:
            return paused
        return replace(paused, limit=max(1, self.limit // 2), lowered=now, changed=now)

    def succeeded(self, now: float) -> Window:
        """Return the window after any other answer; every CALM seconds one of them raises the limit by one."""
        if self.limit >= self.ceiling or now - self.changed < CALM:
            return self
        return replace(self, limit=self.limit + 1, changed=now)


def admits(wish: Lane, limit: int, running: Mapping[Lane, int], waiting: Mapping[Lane, int], last: Lane | None) -> bool:
    """Tell whether a request may start: large ones leave a slot for small ones, and small ones never take all.

    With a single slot the lanes take turns.
    """
    if running[Lane.SMALL] + running[Lane.LARGE] >= limit:
        return False
    if limit == 1:
        return last is not wish or not waiting[wish.other]
    return running[wish] < limit - 1 or (wish is Lane.SMALL and not waiting[Lane.LARGE])


class Throttle:
    """Has threads send requests to one host, as many as its window allows.

    Each lane is a queue: first come, first served. A thread that has a slot already gets further ones at once: it reads
    one blob while it writes another, and would wait for itself for ever.
    """

    def __init__(
        self,
        limit: int = LIMIT,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = interruption.pause,
    ) -> None:
        self._window = Window(limit, limit)
        self._clock = clock
        self._sleep = sleep
        self._changed = threading.Condition()
        self._running: Counter[Lane] = Counter()
        self._queues: dict[Lane, deque[object]] = {lane: deque() for lane in Lane}
        self._held: Counter[int] = Counter()
        self._last: Lane | None = None

    @property
    def window(self) -> Window:
        """Return what the host allows at the moment."""
        return self._window

    def acquire(self, wish: Lane) -> Slot:
        """Return a slot, once one is free and the host's pause is over; the slot must be released."""
        owner = threading.get_ident()
        with self._changed:
            nested = self._held[owner] > 0
            if not nested:
                self._wait(wish)
                self._running[wish] += 1
                self._last = wish
            self._held[owner] += 1
            slot = Slot(self, None if nested else wish, owner, self._clock())
            wait = self._window.resume - slot.begun
        if wait > 0:
            try:
                self._sleep(wait)
            except BaseException:
                slot.release()
                raise
            slot.begun = self._clock()
        return slot

    def _wait(self, wish: Lane) -> None:
        """Wait for a slot, after those of the same lane that came before."""
        ticket, queue = object(), self._queues[wish]
        queue.append(ticket)
        try:
            self._changed.wait_for(lambda: queue[0] is ticket and self._admits(wish))
        finally:
            queue.remove(ticket)
            self._changed.notify_all()

    def _admits(self, wish: Lane) -> bool:
        waiting = {lane: len(queue) for lane, queue in self._queues.items()}
        return admits(wish, self._window.limit, self._running, waiting, self._last)

    def _note(self, event: Callable[[Window], Window]) -> None:
        with self._changed:
            self._window = event(self._window)
            self._changed.notify_all()

    def _leave(self, taken: Lane | None, owner: int) -> None:
        with self._changed:
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]
            if taken:
                self._running[taken] -= 1
                self._changed.notify_all()


class Slot:
    """The right to have one request under way; `release` may be called twice, from any thread."""

    def __init__(self, throttle: Throttle, taken: Lane | None, owner: int, begun: float) -> None:
        self._throttle = throttle
        self._taken = taken
        self._owner = owner
        self._is_free = False
        self.begun = begun

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def succeeded(self) -> None:
        """Report that the host answered without complaint."""
        now = self._throttle._clock()
        self._throttle._note(lambda window: window.succeeded(now))

    def refused(self, wait: float) -> None:
        """Report that the host is overloaded, and that no request should be sent to it for `wait` seconds."""
        now = self._throttle._clock()
        self._throttle._note(lambda window: window.refused(now, self.begun, wait))

    def release(self) -> None:
        """Free the slot for the next request."""
        if not self._is_free:
            self._is_free = True
            self._throttle._leave(self._taken, self._owner)
