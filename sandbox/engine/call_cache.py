"""Asks the engine each question once during a look that several threads have at the same moment of the world."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

Words = ParamSpec("Words")
Answer = TypeVar("Answer")


class Glancing:
    """Whoever answers questions that are `once`; outside a `glance` every question is asked anew."""

    def __init__(self) -> None:
        self._seen: _Seen | None = None
        self._looking = 0
        self._entering = threading.Lock()

    @contextmanager
    def glance(self) -> Iterator[None]:
        """For a block that changes nothing: what was seen once in it is not asked again, nor in blocks within it."""
        with self._entering:
            self._looking += 1
            self._seen = self._seen or _Seen()
        try:
            yield
        finally:
            with self._entering:
                self._looking -= 1
                self._seen = self._seen if self._looking else None


Who = TypeVar("Who", bound=Glancing)


def once(question: Callable[Concatenate[Who, Words], Answer]) -> Callable[Concatenate[Who, Words], Answer]:
    """A question that need not be asked again in a glance; its words are hashable. What is raised is not kept."""

    @functools.wraps(question)
    def asked(who: Who, /, *words: Words.args, **named: Words.kwargs) -> Answer:
        seen = who._seen
        if seen is None:
            return question(who, *words, **named)
        answer: Answer = seen.answer((question.__name__, words, *named.items()), lambda: question(who, *words, **named))
        return answer

    return asked


class _Seen:
    """The answers so far. Who asks what another thread is asking waits for its answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking: dict[Hashable, threading.Lock] = {}
        self._answers: dict[Hashable, Any] = {}

    def answer(self, question: Hashable, ask: Callable[[], Any]) -> Any:
        with self._lock:
            asking = self._asking.setdefault(question, threading.Lock())
        with asking:
            if question not in self._answers:
                self._answers[question] = ask()
            return self._answers[question]
