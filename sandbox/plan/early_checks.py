"""The checks of all steps at once, by as few threads as the answers allow."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress

from sandbox.errors import SandboxError
from sandbox.step import Status, Step

THREADS = 3  # to begin with: what they ask is mostly answered by then, and threads that compute hinder each other
PATIENCE = 0.02  # seconds that a result is waited for until another thread helps


class EarlyChecks:
    """Checks every step of a plan in threads that may be left behind: what they wait for may never come.

    The steps that come last in the plan are checked first, for they have most to ask. At the end of the block no
    further check begins.
    """

    def __init__(self, plan: Sequence[Step]) -> None:
        self._results: dict[str, Future[Status]] = {step.name: Future() for step in plan}
        self._waiting = deque(plan)

    def __enter__(self) -> EarlyChecks:
        for _ in range(THREADS):
            self._help()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.clear()

    def result(self, step: Step) -> Status:
        """Return what the check of a step found. A check that failed is made again, and may raise any error."""
        result = self._results[step.name]
        try:
            while self._waiting:
                with suppress(TimeoutError):
                    return result.result(PATIENCE)
                self._help()
            return result.result()
        except SandboxError:
            return step.check()

    def _help(self) -> None:
        threading.Thread(target=self._check, name="check", daemon=True).start()

    def _check(self) -> None:
        with suppress(IndexError):  # all have begun
            while step := self._waiting.pop():
                result = self._results[step.name]
                try:
                    result.set_result(step.check())
                except BaseException as error:
                    result.set_exception(error)
