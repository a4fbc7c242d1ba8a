"""Answers that are kept for the length of a block which changes nothing, so that each question is sent once."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class KeptAnswers:
    """Usable by several threads; two that ask the same question at the same moment may both send it."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, Any] = {}
        self._keepers = 0

    @contextmanager
    def keeping(self) -> Iterator[None]:
        self._keepers += 1
        try:
            yield
        finally:
            self._keepers -= 1
            if not self._keepers:
                self.forget()

    def forget(self) -> None:
        self._answers.clear()

    def answer(self, question: Hashable, send: Callable[[], Answer]) -> Answer:
        """Return the kept answer to a question, or what `send` returns. Raises what that raises."""
        try:
            answer: Answer = self._answers[question]
        except KeyError:
            answer = send()
            if self._keepers:
                self._answers[question] = answer
        return answer
