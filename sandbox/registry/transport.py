"""Requests to one registry: kept-alive sessions, tokens, patience; the only importer of `requests`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Self
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from sandbox.registry import address as addresses
from sandbox.registry import challenge as challenges
from sandbox.registry.digest import CHUNK
from sandbox.registry.errors import RegistryError, from_response, is_transient

TRIES = 4
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 300.0


@dataclass(frozen=True)
class Answer:
    """A registry's answer; its status is one that was wanted."""

    response: requests.Response
    action: str

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def content(self) -> bytes:
        return self.response.content

    def header(self, name: str) -> str:
        """The value of a header, empty when it was not sent."""
        return self.response.headers.get(name, "")

    def resolve(self, url: str) -> str:
        """`url`, which may be relative to what was asked for, as a full URL."""
        return urljoin(self.response.url, url)

    @property
    def following(self) -> str:
        """The URL of the next page of a list (`Link: <…>; rel="next"`, RFC 8288), empty at the end."""
        url = self.response.links.get("next", {}).get("url", "")
        return self.resolve(url) if url else ""

    def chunks(self) -> Iterator[bytes]:
        """The body of a streamed answer, piece by piece. Raises RegistryError when it breaks off."""
        try:
            yield from self.response.iter_content(CHUNK)
        except requests.RequestException as error:
            raise RegistryError(
                f"the answer to {self.action} broke off", details=str(error), transient=may_pass(error)
            ) from error

    def close(self) -> None:
        """Give the connection back, or close it when bytes are left unread."""
        self.response.close()


class Transport:
    """Sends requests to the registry at `url` and repeats those that may be repeated.

    Safe for use by several threads; each has its own session, so connections are kept alive and never shared.
    Loopback registries are reached directly: no proxy, no netrc, no settings of the environment.
    """

    def __init__(self, url: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.address = addresses.parse(url)
        self.sleep = sleep
        self._base: str | None = None
        self._lock = threading.Lock()
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()
        self._local = threading.local()

    def send(
        self,
        method: str,
        url: str,
        *,
        wanted: tuple[int, ...],
        repeat: bool = True,
        headers: Mapping[str, str] | None = None,
        data: bytes | Iterable[bytes] | None = None,
        stream: bool = False,
    ) -> Answer:
        """The answer, when its status is in `wanted`; RegistryError otherwise.

        `url` is a path on this registry or a full URL. With `repeat`, broken connections, 5xx and 429 are tried again
        up to TRIES times, as late as Retry-After says; use it only for bodies that can be sent twice.
        """
        full = urljoin(self._root(), url)
        action = f"{method} {_redacted(full)}"
        for left in reversed(range(TRIES if repeat else 1)):
            try:
                response = self._authorised(method, full, dict(headers or {}), data, stream)
                if response.status_code in wanted:
                    return Answer(response, action)
                body, status, late = response.content, response.status_code, response.headers.get("Retry-After")
            except requests.RequestException as error:
                if not left or not may_pass(error):
                    raise self.unreachable(action, error) from error
                status, body, late = 0, b"", None
            if not left or (status and not is_transient(status)):
                raise from_response(action, status, body)
            self.sleep(pause(TRIES - 1 - left, late))
        raise AssertionError("unreachable: the last try returns or raises")

    def unreachable(self, action: str, error: Exception) -> RegistryError:
        """The error for a connection that could not be made or broke off."""
        fix = "start it: sandbox up" if self.address.is_loopback else "check the network, a proxy or the host's name"
        if isinstance(error, requests.exceptions.SSLError):
            fix = "trust the registry's certificate authority, or write http:// if it has no TLS"
        return RegistryError(
            f"no usable connection to the registry at {self.address}",
            details=f"{action}: {error}",
            fix=fix,
            transient=may_pass(error),
        )

    def _authorised(
        self, method: str, url: str, headers: dict[str, str], data: bytes | Iterable[bytes] | None, stream: bool
    ) -> requests.Response:
        """Send once, and once more with a fresh token if that is what the registry asks for."""
        own = urlsplit(url).netloc == urlsplit(self._root()).netloc
        scope = _repository(url)
        known = self._tokens.get(scope) if own else None
        response = self._once(method, url, headers, data, stream, known)
        if response.status_code != 401 or not own or not (data is None or isinstance(data, bytes)):
            return response
        challenge = challenges.parse(response.headers.get("WWW-Authenticate", ""))
        if challenge is None:
            return response
        response.close()
        self._tokens[scope] = token = self._token(challenge)
        return self._once(method, url, headers, data, stream, token)

    def _once(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        data: bytes | Iterable[bytes] | None,
        stream: bool,
        token: str | None,
    ) -> requests.Response:
        if token:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        return self._session().request(
            method,
            url,
            headers=headers,
            data=data,
            stream=stream,
            auth=_as_given,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            allow_redirects=method in ("GET", "HEAD"),
        )

    def _token(self, challenge: challenges.Challenge) -> str:
        """An anonymous token (Distribution specification, token authentication)."""
        response = self._session().get(
            challenge.realm, params=challenge.query, auth=_as_given, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)
        )
        try:
            content = response.json() if response.status_code == 200 else {}
            return str(content.get("token") or content["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise from_response(f"a token from {challenge.realm}", response.status_code, response.content) from error

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = not self.address.is_loopback
            session.headers["User-Agent"] = "sandbox"
            session.headers["Accept-Encoding"] = "identity"
            adapter = HTTPAdapter(pool_connections=2, pool_maxsize=2)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            with self._lock:
                self._sessions.append(session)
        return session

    def _root(self) -> str:
        if self._base is None:
            self._base = f"{addresses.dial(self.address)}/"
        return self._base


def pause(attempt: int, retry_after: str | None) -> float:
    """Seconds to wait before the next try: what the server says (RFC 9110, 10.2.3), else doubling; never too long."""
    seconds = FIRST_PAUSE * (1 << attempt)
    if retry_after and retry_after.strip().isdigit():
        seconds = float(retry_after)
    elif retry_after:
        with contextlib.suppress(ValueError):
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
    return min(max(seconds, 0.0), LONGEST_PAUSE)


def may_pass(error: Exception) -> bool:
    """Whether a failure of the connection, rather than of the request, may be gone at the next try."""
    passing = (
        requests.exceptions.ConnectionError,
        requests.exceptions.Timeout,
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
    )
    return isinstance(error, passing) and not isinstance(error, requests.exceptions.SSLError)


def _as_given(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An authentication that adds nothing; without one, requests would look passwords up in netrc."""
    return request


def _repository(url: str) -> str:
    """The repository a URL is about; tokens are good for one."""
    path = urlsplit(url).path.removeprefix("/v2/")
    for part in ("/manifests/", "/blobs/", "/tags/"):
        path = path.partition(part)[0]
    return path


def _redacted(url: str) -> str:
    """`url` without its query, which may carry a registry's upload state or signatures."""
    return url.partition("?")[0]
