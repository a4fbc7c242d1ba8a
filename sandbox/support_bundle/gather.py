"""Gathers texts from many places at once, with an end to time and size, and notes what could not be had."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

Part = Callable[[], Iterator[tuple[str, str]]]

LARGEST = 1 << 20
ALL = 48 << 20
PROBLEMS = "problems.txt"


def gather(parts: Mapping[str, Part], *, seconds: float) -> dict[str, str]:
    """What the parts give, by path; whatever has come after `seconds` is all there is.

    Of a long text the last MiB is kept. What failed, is late or is too much is told in `problems.txt`.
    """
    found = _Found()
    deadline = time.monotonic() + seconds
    threads = {
        name: threading.Thread(target=found.take, args=(name, part), daemon=True) for name, part in parts.items()
    }
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    return found.close(late=[name for name, thread in threads.items() if thread.is_alive()], seconds=seconds)


class _Found:
    """What has come so far; nothing is taken any more once it is closed."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._problems: list[str] = []
        self._room = ALL
        self._closed = False
        self._lock = threading.Lock()

    def take(self, name: str, part: Part) -> None:
        try:
            for path, text in part():
                if not self._put(path, text[-LARGEST:]):
                    return
        except Exception as error:  # a half-made sandbox breaks in any way, and the rest is wanted all the more
            self._note(f"{name}: {type(error).__name__}: {error}")

    def close(self, *, late: list[str], seconds: float) -> dict[str, str]:
        with self._lock:
            self._closed = True
            problems = [*self._problems, *(f"{name}: not finished within {seconds:g} s" for name in late)]
        return self._texts | ({PROBLEMS: "\n".join(problems) + "\n"} if problems else {})

    def _put(self, path: str, text: str) -> bool:
        with self._lock:
            fits = not self._closed and len(text) <= self._room
            if fits:
                self._texts[path] = text
                self._room -= len(text)
        if not fits:
            self._note(f"{path}: left out, there is too much")
        return fits

    def _note(self, problem: str) -> None:
        with self._lock:
            self._problems.append(problem)
