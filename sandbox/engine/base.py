"""The connection that every call to the engine goes through: docker-py's client, errors, timeouts, kept answers."""

import errno
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import docker
from docker.errors import DockerException, NotFound, StreamParseError
from docker.utils import kwargs_from_env
from urllib3.exceptions import HTTPError

from sandbox.engine.endpoint import Endpoint, unusable
from sandbox.errors import FULL, Away, SandboxError
from sandbox.sanitize import cause
from sandbox.system.kept_answers import KeptAnswers

Answer = TypeVar("Answer")
CALL_TIMEOUT = 60
LONG_TIMEOUT = 1800
OLDEST_API = "1.41"
# What this machine or process has no more of, in errors that name no file.
LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
# A port of the machine that another process has, in the words of moby's and Podman's forwarders and of the kernel.
TAKEN = re.compile(r"[\d\]]:(\d+)\b.*(?:address already in use|port is already allocated)")


class EngineError(SandboxError):
    """The Docker Engine refused or failed; `details` is its own message."""

    id = "engine-failed"


class EngineGone(EngineError, Away):
    """The Docker Engine hung up, or does not answer any more."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn errors in the block into an EngineError about `doing`; errors about this machine's files pass unchanged."""
    try:
        yield
    except (DockerException, StreamParseError) as error:
        message = str(getattr(error, "explanation", None) or error)
        fix = "free space on the engine's disk: docker system df shows what to remove" if FULL.search(message) else ""
        if taken := TAKEN.search(message):
            port = taken[1]
            fix = f"stop what has port {port} (ss -ltnp 'sport = :{port}' shows it), then run the same command again"
        raise EngineError(f"{doing} failed", details=message, fix=fix) from error
    except (OSError, HTTPError) as error:
        # Errors of the HTTP clients are of these types too, and none of them names a file.
        if isinstance(error, OSError) and (error.filename is not None or error.errno in LOCAL):
            raise
        raise EngineGone(
            f"{doing} failed: the Docker Engine went away",
            details=cause(error),
            fix="see that the engine runs (`docker version`), then run the same command again",
        ) from error


def uninterrupted(ask: Callable[[], Answer], undo: Callable[[Answer], object]) -> Answer:
    """Return what `ask` returns; if the wait for it is interrupted, wait for its end and `undo` what it made.

    An engine completes a request whose client has gone, so an object that no one waits for would stay.
    """
    from concurrent.futures import ThreadPoolExecutor

    made: list[Answer] = []
    try:
        with ThreadPoolExecutor(1) as pool:  # which waits for its thread, but not if its start was interrupted
            pool.submit(bool).result()
            pool.submit(lambda: made.append(ask())).result()
    except BaseException:
        for answer in made:
            undo(answer)
        raise
    return made[0]


class Door:
    """The API of the engine at `place`, which the calls of this package share."""

    def __init__(self, place: Endpoint | None) -> None:
        self._place = place
        self._version = OLDEST_API
        self.is_podman = False
        self.kept = KeptAnswers()

    @contextmanager
    def api(self, doing: str) -> Iterator[Any]:
        """Yield the client library for calls that may take long; errors in the block become EngineErrors."""
        with translated(doing):
            yield self._slow

    @functools.cached_property
    def _info(self) -> Mapping[str, Any]:
        with translated("asking about the engine"):
            info = self._api.info()  # once per connection: the engine runs other programs for it
            if not isinstance(info, dict) or "ServerVersion" not in info:
                raise DockerException("the answer to `docker info` is not a Docker Engine's")
            return info

    @functools.cached_property
    def _client(self) -> docker.DockerClient:
        return self._connected(CALL_TIMEOUT)

    @property
    def _api(self) -> Any:
        return self._client.api

    @functools.cached_property
    def _slow(self) -> Any:
        # An engine sends nothing while it loads, saves or pulls.
        return self._connected(LONG_TIMEOUT).api

    def _connected(self, timeout: int) -> docker.DockerClient:
        place = self._place
        assert place is not None  # noqa: S101  # an engine of tests has no address
        options: dict[str, Any] = {"version": self._version, "timeout": timeout, "max_pool_size": 16}
        try:
            address = {**kwargs_from_env(), "base_url": place.url, "use_ssh_client": place.is_ssh}
            client = docker.DockerClient(**address, **options)
        except (DockerException, ValueError) as error:  # the library also reads the logins of `docker login`
            raise unusable(place, error) from error
        if place.is_here:
            # The environment and netrc are for servers elsewhere, and each call would look everything up:
            # REQUESTS_CA_BUNDLE would even override DOCKER_CERT_PATH.
            client.api.trust_env = False
        return client

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        question = f"{method} {arguments} {options}"
        return self.kept.answer(question, lambda: getattr(self._api, method)(*arguments, **options))

    def _inspect(self, doing: str, method: str, name: str) -> dict[str, Any] | None:
        def inspect() -> dict[str, Any] | None:
            with suppress(NotFound):
                return dict(getattr(self._api, method)(name))
            return None

        with translated(doing):
            return self.kept.answer((method, name), inspect)
