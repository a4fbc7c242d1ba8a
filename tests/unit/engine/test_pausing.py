"""A container whose processes cannot be held still at once is paused by another try."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.engine import Engine, EngineError
from sandbox.engine.base import Refused

BUSY = "Cannot pause container 1b42: OCI runtime pause failed: unable to freeze: unknown"


class Refusing(Engine):
    """An engine that answers these words, one after the other, and then does it."""

    def __init__(self, *words: str) -> None:
        super().__init__(None)
        self.words = list(words)

    def _ask(self, *_: Any, **__: Any) -> Any:
        if self.words:
            raise Refused(self.words.pop(0))


def test_container_that_is_busy_is_paused_by_another_try() -> None:
    engine = Refusing(BUSY, BUSY)
    engine.pause("node")
    assert engine.words == []


@pytest.mark.parametrize("words", [(BUSY, BUSY, BUSY), ("no space left on device",)])
def test_container_that_cannot_be_paused_is_an_error(words: tuple[str, ...]) -> None:
    engine = Refusing(*words)
    with pytest.raises(EngineError, match="pausing container node failed") as caught:
        engine.pause("node")
    assert caught.value.details == words[-1] and engine.words == []
