"""The connection that every call to the engine goes through."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.engine.call_cache import Glancing
from sandbox.engine.engine_errors import translated

CALL_TIMEOUT = 60
LONG_TIMEOUT = 1800


class _Patience(threading.local):
    """For how many seconds at least the requests of one thread may take."""

    seconds: int = 0


class Door(Glancing):
    """The client of the engine's API, which the calls of this package share."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self._client = client
        self._patience = _Patience()
        if client is not None:
            # The library's own hook takes the time that a request may take from one attribute for all threads.
            client.api._set_request_timeout = self._timed

    @contextmanager
    def api(self, doing: str) -> Iterator[Any]:
        """The client below, for other modules of this package; what fails in the block is an EngineError."""
        with translated(doing), self.patient():
            yield self._client.api

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Let the calls of this thread take long: an engine sends nothing while it loads, saves or pulls."""
        before, self._patience.seconds = self._patience.seconds, LONG_TIMEOUT
        try:
            yield
        finally:
            self._patience.seconds = before

    def _timed(self, request: dict[str, Any]) -> dict[str, Any]:
        seconds = request.get("timeout", self._client.api.timeout)
        return {**request, "timeout": seconds and max(seconds, self._patience.seconds)}  # None: for ever
