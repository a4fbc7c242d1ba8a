"""The connection that every call to the engine goes through: errors and timeouts."""

from __future__ import annotations

import errno
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import docker
from docker.errors import APIError, DockerException, StreamParseError, TLSParameterError
from docker.utils import kwargs_from_env
from docker.utils.config import find_config_file
from requests import Response
from urllib3.exceptions import HTTPError

from sandbox.engine.endpoint import Endpoint, no_address
from sandbox.errors import FULL, Away, MissingTool, SandboxError
from sandbox.sanitize import cause
from sandbox.system.kept_answers import KeptAnswers

Answer = TypeVar("Answer")
CALL_TIMEOUT = 60
LONG_TIMEOUT = 1800
OLDEST_API = "1.41"
LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
"""What this machine or process has no more of, in errors that name no file."""
# A port of the machine that another has, in the words of moby's and Podman's forwarders and of the kernel.
TAKEN = re.compile(r"[\d\]]:(\d+)\b.*(?:address already in use|port is already allocated)")


class Refused(OSError):
    """The engine answered with an error status; the text is its own message."""


class NotThere(Refused):
    """The engine does not have what was asked for (404)."""


class EngineError(SandboxError):
    """The Docker Engine refused or failed; `details` is its own message."""

    id = "engine-failed"


class EngineGone(EngineError, Away):
    """The Docker Engine hung up, or does not answer any more."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn errors in the block into an EngineError about `doing`; those of this machine's files stay what they are."""
    try:
        yield
    except SandboxError:
        raise
    except Refused as error:
        raise _failed(doing, str(error)) from error
    except Exception as error:
        if isinstance(error, APIError):
            raise _failed(doing, str(error.explanation or error)) from error
        if isinstance(error, DockerException | StreamParseError):
            raise _failed(doing, str(error)) from error
        # Every error of the HTTP clients below is one of these, and none of them names a file.
        local = isinstance(error, OSError) and (error.filename is not None or error.errno in LOCAL)
        if local or not isinstance(error, (OSError, HTTPError)):
            raise
        raise EngineGone(
            f"{doing} failed: the Docker Engine went away",
            details=cause(error),
            fix="see that the engine runs (`docker version`), then run the same command again",
        ) from error


def _failed(doing: str, message: str) -> EngineError:
    fix = "free space on the engine's disk: docker system df shows what to remove" if FULL.search(message) else ""
    if port := TAKEN.search(message):
        fix = f"stop what has port {port[1]} (ss -ltnp 'sport = :{port[1]}' shows it), then run the same command again"
    return EngineError(f"{doing} failed", details=message, fix=fix)


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


def unreachable(message: str, place: Endpoint) -> MissingTool:
    if "Permission denied" in message or "PermissionError" in message:
        return MissingTool(
            "you may not use the Docker Engine",
            details=message,
            fix="add yourself to the group `docker` (sudo usermod -aG docker $USER, then log in again)",
            id="engine-permission",
        )
    if "timed out" in message:
        return MissingTool(
            "the Docker Engine accepted the connection but did not respond",
            details=message,
            fix="read its log (journalctl -u docker) and restart it",
            id="engine-hangs",
        )
    return MissingTool(
        "no Docker Engine answers",
        details=f"{message} (by {place.origin})",
        fix=place.how_to_start,
        id="engine-unreachable",
    )


def endpoint_at(address: str) -> dict[str, Any]:
    """Return the engine's settings for a container's place in a network, at the IPv4 address or, without one, any."""
    return {"IPAMConfig": {"IPv4Address": address}} if address else {}


class Door:
    """The API of the engine at `place`, which the calls of this package share: the session of the client library."""

    _podman = False

    def __init__(self, place: Endpoint | None, version: str = OLDEST_API) -> None:
        self._place = place
        self._version = version
        self._kept = KeptAnswers[Any]()

    def keeping(self) -> AbstractContextManager[None]:
        """Keep what the engine answers in the block, which changes nothing."""
        return self._kept.keeping()

    def forget(self) -> None:
        """Forget what was kept: another command may have changed something."""
        self._kept.forget()

    @property
    def is_podman(self) -> bool:
        return self._podman

    @functools.cached_property
    def _info(self) -> Mapping[str, Any]:
        """Return what `docker info` shows, asked once per connection: the engine runs other programs for it."""
        info = self._get("/info")
        if not isinstance(info, dict) or "ServerVersion" not in info:
            raise Refused("what it says of itself is not what a Docker Engine says")
        return info

    @functools.cached_property
    def _client(self) -> docker.DockerClient:
        return self._connected(CALL_TIMEOUT)

    @property
    def _api(self) -> Any:
        return self._client.api

    @functools.cached_property
    def _slow(self) -> Any:
        """The same for calls that may take long: an engine sends nothing while it loads, saves or pulls."""
        return self._connected(LONG_TIMEOUT).api

    def _connected(self, timeout: int) -> docker.DockerClient:
        place = self._place
        assert place is not None  # noqa: S101  # an engine of tests has no address
        options: dict[str, Any] = {"version": self._version, "timeout": timeout, "max_pool_size": 16}
        try:
            given = {**kwargs_from_env(), "base_url": place.url, "use_ssh_client": place.is_ssh}
            client = docker.DockerClient(**given, **options)
        except TLSParameterError as error:
            raise MissingTool(
                f"no certificates for the Docker Engine on {place.host}",
                details="by DOCKER_TLS_VERIFY and DOCKER_CERT_PATH; needed are ca.pem, cert.pem and key.pem",
                fix="set DOCKER_CERT_PATH to the folder that has them, or unset DOCKER_TLS_VERIFY",
                id="engine-unreachable",
            ) from error
        except DockerException as error:  # it only reads the address
            if place.is_ssh and "paramiko" in str(error):
                raise MissingTool(
                    "an engine over SSH needs the Python package paramiko",
                    details=f"{place.url}, by {place.origin}",
                    fix=f"pipx inject kube-sandbox paramiko, or use this machine's engine: {place.how_to_leave}",
                    id="engine-unreachable",
                ) from error
            raise no_address(place, str(error)) from error
        except ValueError as error:  # the library reads the accounts of `docker login`
            raise MissingTool(
                "Docker's config.json has an account that cannot be read",
                details=str(find_config_file()),
                fix="remove what is wrong under `auths` there, then docker login",
                id="docker-config",
            ) from error
        if place.is_here:
            # The environment and netrc are for servers elsewhere, and each call would look everything up:
            # REQUESTS_CA_BUNDLE would even override DOCKER_CERT_PATH.
            client.api.trust_env = False
        return client

    @contextmanager
    def api(self, doing: str) -> Iterator[Any]:
        """Yield the client library for calls that may take long; errors in the block become EngineErrors."""
        with translated(doing):
            yield self._slow

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
        *,
        timeout: float | None = CALL_TIMEOUT,
    ) -> Response:
        """Send a request of the Docker Engine API; bytes in the `body` are a tar, all else becomes JSON.

        Raises NotThere, Refused, OSError.
        """
        target = f"/v{self._version}{quote(path, safe='/:@')}" + (f"?{urlencode(query)}" if query else "")
        return self._send(method, target, body, timeout)

    def _send(self, method: str, target: str, body: object = None, timeout: float | None = CALL_TIMEOUT) -> Response:
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": kind} if data else {}
        answer: Response = self._api.request(
            method, self._api.base_url + target, data=data, headers=headers, timeout=timeout
        )
        if answer.status_code >= 400:
            refusal = NotThere if answer.status_code == 404 else Refused
            raise refusal(_message(answer))
        return answer

    def _attach(self, network: str, container: str, address: str) -> None:
        """Connect a container to a network, at the IPv4 address or, without one, at any."""
        body = {"Container": container, "EndpointConfig": endpoint_at(address)}
        self._ask("POST", f"/networks/{network}/connect", body=body)

    def _found(self, doing: str, path: str) -> Any:
        """Return the parsed JSON of an answer; None for what is not there. Raises EngineError about `doing`."""
        with translated(doing), suppress(NotThere):
            return self._get(path)
        return None

    def _removed(self, doing: str, path: str) -> bool:
        """Remove an object of the engine; returns whether there was one. Raises EngineError about `doing`."""
        with translated(doing), suppress(NotThere):
            self._ask("DELETE", path)
            return True
        return False

    def _get(self, path: str, **query: object) -> Any:
        words = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in query.items()}
        return self._kept.answer(f"{path} {words}", lambda: self._ask("GET", path, words).json())


def _message(answer: Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {answer.status_code}"
