"""The connection that every call to the engine goes through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.host.engine.glance import Glancing
from sandbox.host.engine.trouble import translated

CALL_TIMEOUT = 60
LONG_TIMEOUT = 1800


class Door(Glancing):
    """The client of the engine's API, which the calls of this package share."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self._client = client

    @contextmanager
    def api(self, doing: str) -> Iterator[Any]:
        """The client below, for other modules of this package; what fails in the block is an EngineError."""
        with translated(doing), self.patient():
            yield self._client.api

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Let a call take long: an engine sends nothing while it loads, saves or pulls."""
        before, self._client.api.timeout = self._client.api.timeout, LONG_TIMEOUT
        try:
            yield
        finally:
            self._client.api.timeout = before
