"""Keeps looks fresh while somebody watches, and lets the machine rest when nobody does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

WATCHED = 10.0  # seconds after the last question for which somebody counts as watching


@dataclass(frozen=True)
class Look:
    """What is looked at, and how many seconds lie between two looks."""

    look: Callable[[], Any]
    every: float


class Live:
    """The newest results of several looks, each renewed by a thread of its own."""

    def __init__(self, looks: Mapping[str, Look]) -> None:
        self._looks = looks
        self._found: dict[str, Any] = {}
        self._asked = time.monotonic()
        self._ended = threading.Event()
        self._first = {name: threading.Event() for name in looks}

    def start(self) -> None:
        """Begin to look."""
        for name, look in self._looks.items():
            threading.Thread(target=self._keep, args=(name, look), daemon=True).start()

    def stop(self) -> None:
        """Look no more; a look at work is not waited for."""
        self._ended.set()

    def newest(self, *, patience: float) -> dict[str, Any]:
        """What was found last, without the looks that have not come to an end within `patience` seconds yet."""
        self._asked = time.monotonic()
        deadline = time.monotonic() + patience
        for first in self._first.values():
            first.wait(max(0.0, deadline - time.monotonic()))
        return dict(self._found)

    def _look(self, look: Look) -> Any:
        try:
            return look.look()
        except Exception as error:  # the page goes on, and says so
            log.exception("a look failed")
            return {"error": str(error)}

    def _keep(self, name: str, look: Look) -> None:
        while not self._ended.is_set():
            if time.monotonic() - self._asked < WATCHED:
                self._found[name] = self._look(look)
                self._first[name].set()
            self._ended.wait(look.every)
