"""Chunks handed from the thread that reads a stream to the one that sends them, few of them at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from queue import Queue

DEPTH = 8


class Relay:
    """A bounded queue with an end. One thread pours, one other iterates; both must do so to the end."""

    def __init__(self, depth: int = DEPTH) -> None:
        self._queue: Queue[bytes | BaseException | None] = Queue(depth)
        self._ended = False

    def pour(self, chunks: Iterable[bytes]) -> None:
        """Pass on all of `chunks`, waiting while the other side is behind; what breaks here breaks there too."""
        try:
            for chunk in chunks:
                self._queue.put(chunk)
        except BaseException as error:
            self._queue.put(error)
            raise
        self._queue.put(None)

    def __iter__(self) -> Iterator[bytes]:
        while (item := self._next()) is not None:
            yield item

    def drain(self) -> None:
        """Let the pouring side come to its end although no one wants the rest."""
        with contextlib.suppress(BaseException):
            while self._next() is not None:
                pass

    def _next(self) -> bytes | None:
        item = None if self._ended else self._queue.get()
        if item is None or isinstance(item, BaseException):
            self._ended = True
        if isinstance(item, BaseException):
            raise item
        return item
