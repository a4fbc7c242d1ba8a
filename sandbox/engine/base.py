"""The connection that every call to the engine goes through: its errors, its patience, each question asked once."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from docker.errors import APIError, DockerException

from sandbox.engine.endpoint import Endpoint
from sandbox.errors import Away, MissingTool, SandboxError
from sandbox.sanitize import cause

Words = ParamSpec("Words")
Answer = TypeVar("Answer")
CALL_TIMEOUT = 60
LONG_TIMEOUT = 1800


class EngineError(SandboxError):
    """The Docker Engine refused or failed; `details` is its own message."""

    id = "engine-failed"


class EngineGone(EngineError, Away):
    """The Docker Engine hung up, or does not answer any more."""


class Refused(OSError):
    """The engine answered with another status than 200; the text is its own message."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Let what fails in the block be an EngineError about `doing`."""
    try:
        yield
    except APIError as error:
        raise EngineError(f"{doing} failed", details=str(error.explanation or error)) from error
    except DockerException as error:
        raise EngineError(f"{doing} failed", details=str(error)) from error
    except Refused as error:
        raise EngineError(f"{doing} failed", details=str(error)) from error
    except OSError as error:  # every error of the HTTP client below is one
        raise EngineGone(
            f"{doing} failed: the Docker Engine went away",
            details=cause(error),
            fix="see that the engine runs (`docker version`), then run the same command again",
        ) from error


def unreachable(said: str, place: Endpoint) -> MissingTool:
    """Return why no engine answers at `place`, by what the client library said."""
    if "Permission denied" in said or "PermissionError" in said:
        return MissingTool(
            "you may not use the Docker Engine",
            details=said,
            fix="add yourself to the group `docker` (sudo usermod -aG docker $USER, then log in again)",
            id="engine-permission",
        )
    if "timed out" in said:
        return MissingTool(
            "the Docker Engine accepted the connection but did not respond",
            details=said,
            fix="read its log (journalctl -u docker) and restart it",
            id="engine-hangs",
        )
    return MissingTool(
        "no Docker Engine answers",
        details=f"{said} (by {place.origin})",
        fix=place.how_to_start,
        id="engine-unreachable",
    )


class Glancing:
    """What answers questions that are `once`; outside a `glance` every question is asked again."""

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
    """Return a question that need not be asked again in a glance; its words are hashable.

    What is raised is not kept.
    """

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
        """Yield the client below, for other modules of this package; what fails in the block is an EngineError."""
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
