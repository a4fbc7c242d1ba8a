"""Sends requests to one registry: authorized, repeated, with answers checked and errors that have a fix."""

from __future__ import annotations

import functools
import itertools
import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from sandbox.oci import address as addresses
from sandbox.oci.address import Address, adopted, joined
from sandbox.oci.authorization import Authorization, Grants, needed_grants
from sandbox.oci.credential import Keychain
from sandbox.oci.digest import CHUNK
from sandbox.oci.http_session import HttpSession, NoResponse, Response, may_pass
from sandbox.oci.oci_errors import RegistryError, from_response
from sandbox.sanitize import cause
from sandbox.system import interruption
from sandbox.system.wait import retry

TRIES = 4
TRIES_WHEN_BUSY = 8
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
JITTER = 0.25


def tries(status: int | None) -> int:
    """Return the maximum number of tries; a server that only asks for patience gets more."""
    return TRIES_WHEN_BUSY if status == 429 else TRIES


def pause_before(attempt: int, luck: float = 0.0) -> float:
    """Return the seconds to wait after the failed try number `attempt` (from 0): doubling, up to LONGEST_PAUSE.

    `luck`, from 0 to 1, spreads clients that failed together over JITTER of the time.
    """
    return min(FIRST_PAUSE * (1 << attempt) * (1 + JITTER * luck), LONGEST_PAUSE)


def asked_pause(retry_after: str) -> float | None:
    """Return the pause that a server asks for by `Retry-After`, in seconds, at most LONGEST_PAUSE; None without one."""
    try:
        seconds = Retry().parse_retry_after(retry_after)
    except (InvalidHeader, ValueError, OverflowError):
        return None
    return min(seconds, LONGEST_PAUSE)


@dataclass(frozen=True)
class Answer:
    """An answer with one of the wanted statuses; `root` is the registry it came from."""

    response: Response
    action: str
    root: Address

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def content(self) -> bytes:
        return self.response.content

    def header(self, name: str) -> str:
        return self.response.header(name)

    def resolve(self, url: str) -> str:
        """Return `url`, which may be relative to the request's, as a full URL on the same registry.

        Raises RegistryError when it leads to another host: uploads and lists stay where they began.
        """
        full = adopted(joined(self.response.url, url), self.root)
        if full is None:
            raise RegistryError(
                f"the registry at {self.root} sends us to another host",
                details=f"{self.action} answered {url.partition('?')[0]}",
                fix="have it send its own address, or relative ones (distribution: http.relativeurls: true)",
            )
        return full

    @property
    def following(self) -> str:
        """Return the URL of the next page of a list (`Link: <…>; rel="next"`, RFC 8288), empty at the end."""
        found = _NEXT.search(self.header("Link"))
        return self.resolve(found[1].strip()) if found else ""

    def chunks(self) -> Iterator[bytes]:
        """Yield the body of a streamed answer, piece by piece. Raises RegistryError when it breaks off."""
        try:
            yield from self.response.read(CHUNK)
        except NoResponse as error:
            raise RegistryError(f"the answer to {self.action} broke off", details=str(error), transient=True) from error

    def close(self) -> None:
        """Give the connection back, or close it when bytes are left unread."""
        self.response.close()


START = "start it: sandbox up"
_NEXT = re.compile(r"""<([^<>]*)>[^,<]*;\s*rel="?next\b""", re.IGNORECASE)
_QUERY = re.compile(r"\?[^\s)'\"]*")

log = logging.getLogger(__name__)


class Transport:
    """Sends requests to the registry at `url` and repeats those that may be repeated.

    Safe for use by several threads. `luck` gives numbers from 0 to 1 to spread repetitions, `clock` monotonic seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        keychain: Keychain | None = None,
        sleep: Callable[[float], None] = interruption.pause,
        clock: Callable[[], float] = time.monotonic,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self.address = addresses.parse(url)
        self._sleep = sleep
        self._luck = luck
        self._clock = clock
        self._session = HttpSession(self.address)
        self._authorization = Authorization(self.address, keychain, self._token_request, clock)
        self._uploads: dict[str, Grants] = {}

    def close(self) -> None:
        self._session.close()

    def wait(self, attempt: int) -> None:
        """Sleep before trying something again after the failed try number `attempt`."""
        self._sleep(pause_before(attempt, self._luck()))

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
        """Return the answer, if its status is in `wanted`; RegistryError otherwise.

        `url` is a path on this registry or a full URL of it. With `repeat`, broken connections, 5xx and 429 are tried
        again, as late as Retry-After says; use it only for bodies that can be sent twice. A streamed answer must be
        closed.
        """
        full = f"{self._root}{url}" if url.startswith("/v2/") else urljoin(f"{self._root}/", url)
        action = f"{method} {full.partition('?')[0]}"
        for attempt in itertools.count():
            asked = 0.0
            try:
                response = self._authorised(action, method, full, headers or {}, data, stream)
                if response.status_code in wanted:
                    self._note_upload(response, self._grants(method, full))
                    return Answer(response, action, self._root)
                asked = asked_pause(response.header("Retry-After")) or 0.0
                error = self._refusal(action, response)
            except NoResponse as problem:
                error = self._unreachable(action, problem)
            if not repeat or not error.transient or attempt + 1 >= tries(error.status):
                raise error
            log.debug("again after %s: %s", error.status or "a broken connection", action)
            self._sleep(asked or pause_before(attempt, self._luck()))
        raise AssertionError("unreachable: the last try returns or raises")

    def _authorised(
        self,
        action: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: bytes | Iterable[bytes] | None,
        stream: bool,
    ) -> Response:
        """Send once, and once more with another authorization if the registry asks for that."""
        grants = self._grants(method, url)
        used, sent = self._authorization.header(grants), self._clock()
        response = self._session.request(method, url, headers, data, authorization=used, stream=stream)
        if response.status_code != 401 or addresses.of_url(response.url) != self._root:
            return response
        other = self._authorization.renewed(response.header("WWW-Authenticate"), grants, used, sent)
        if other is None or other == used:
            return response
        response.close()
        if not (data is None or isinstance(data, bytes)):
            brief = f"the registry wants another token for {action}"
            raise RegistryError(brief, details="HTTP status 401", status=401, transient=True)
        return self._session.request(method, url, headers, data, authorization=other, stream=stream)

    def _grants(self, method: str, url: str) -> Grants:
        """Return what a request needs; an upload's URL may tell no repository (as at Google's Artifact Registry)."""
        return needed_grants(method, url) or self._uploads.get(urlsplit(url).path, frozenset())

    def _note_upload(self, response: Response, grants: Grants) -> None:
        """Keep what was needed for an upload, if its next URL does not tell."""
        if grants and (location := response.header("Location")):
            url = joined(response.url, location)
            if not needed_grants("PUT", url):
                self._uploads[urlsplit(url).path] = grants

    def _refusal(self, action: str, response: Response) -> RegistryError:
        body = self._authorization.redacted(response.content.decode(errors="replace"))
        error = self._authorization.denied(from_response(action, response.status_code, body.encode()))
        # Requests that change something are not sent on, and no account is sent to another address.
        there = joined(response.url, response.header("Location")) if response.is_redirect else response.url
        place = addresses.of_url(there)
        if place is not None and place != self._root:
            error.details = "\n".join((error.details, f"it leads to {place}"))
            if response.is_redirect or place.host == self.address.host:
                error.fix = f"if that is the registry, write its address: {place}"
        if error.status == 503 and self.address.is_loopback:  # the frontend's answer where the registry is down
            error.fix = START
        return error

    def _unreachable(self, action: str, error: NoResponse) -> RegistryError:
        """Return the error for a connection that could not be made or broke off.

        It is raised `from None`, because the original error contains URLs with their signatures.
        """
        fix = START if self.address.is_loopback else "check the network, a proxy or the host's name"
        details = f"{action}: {_QUERY.sub('', self._authorization.redacted(cause(error)))}"
        if error.proxy:
            details += f", through the proxy {error.proxy}"
            fix = "have HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY) name an http:// proxy that works, or NO_PROXY this host"
        if error.untrusted:
            fix = "trust the registry's certificate authority, or write http:// if it has no TLS"
        return RegistryError(
            f"no usable connection to the registry at {self.address}",
            details=details,
            fix=fix,
            transient=error.transient,
        )

    def _token_request(self, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> tuple[int, bytes]:
        """Ask a token server, again when that may help; the answer of the last try counts."""
        action = f"a token from {url.partition('?')[0]}"
        verb, account = "POST" if form else "GET", headers.get("Authorization")
        asked = 0.0

        def ask() -> Response:
            nonlocal asked
            asked = 0.0
            found = self._session.request(verb, url, {}, form, authorization=account)
            asked = asked_pause(found.header("Retry-After")) or 0.0
            return found

        def wait(attempt: int) -> None:
            self._sleep(max(asked, pause_before(attempt, self._luck())))

        try:
            response = retry(ask, tries=TRIES, transient=may_pass, wait=wait)
        except NoResponse as error:
            raise self._unreachable(action, error) from None
        return response.status_code, response.content

    @functools.cached_property
    def _root(self) -> addresses.Address:
        return addresses.dial(self.address)
