"""Sends requests to one registry: authorized, repeated, with answers checked and errors that have a fix."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from sandbox.oci import address as addresses
from sandbox.oci.address import adopted, joined
from sandbox.oci.authorization import Authorization, Grants
from sandbox.oci.credential import Keychain
from sandbox.oci.http_session import START, HttpSession, Response
from sandbox.oci.oci_errors import RegistryError, from_response
from sandbox.system import interruption

TRIES = 6
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0  # seconds

log = logging.getLogger(__name__)


def pause(attempt: int, retry_after: str = "") -> float:
    """Return the seconds to wait after the failed try `attempt`, from 0: what a `Retry-After` says, or double."""
    asked = 0.0
    with suppress(InvalidHeader, ValueError, OverflowError):
        asked = Retry().parse_retry_after(retry_after)
    return min(asked or FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)


class Transport:
    """Sends requests to the registry at `url`. Safe for use by several threads. `clock` gives monotonic seconds."""

    def __init__(
        self,
        url: str,
        *,
        keychain: Keychain | None = None,
        sleep: Callable[[float], None] = interruption.pause,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = addresses.parse(url)
        self.sleep = sleep
        self._clock = clock
        self._session = HttpSession(self.address)
        self._authorization = Authorization(self.address, keychain, self._ask_token_server, clock)

    def close(self) -> None:
        self._session.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        wanted: tuple[int, ...],
        grants: Grants = frozenset(),
        repeat: bool = True,
        headers: Mapping[str, str] | None = None,
        data: bytes | Iterable[bytes] | None = None,
        stream: bool = False,
    ) -> Response:
        """Return the response, if its status is in `wanted`; RegistryError otherwise.

        `url` is a path on this registry or a full URL of it. With `repeat`, broken connections, 5xx and 429 are tried
        again; use it only for bodies that can be sent twice. A streamed response must be closed.
        """
        full = f"{self.address}{url}" if url.startswith("/") else url
        action = f"{method} {full.partition('?')[0]}"

        def ask() -> Response:
            used, sent = self._authorization.header(grants), self._clock()
            response = self._session.request(method, full, headers or {}, data, authorization=used, stream=stream)
            if response.status_code == 401 and addresses.of_url(response.url) == self.address:
                other = self._authorization.renewed(response.header("WWW-Authenticate"), grants, used, sent)
                if other and other != used:
                    if not (data is None or isinstance(data, bytes)):
                        brief = f"the registry wants another token for {action}"
                        raise RegistryError(brief, details="HTTP status 401", status=401, transient=True)
                    response = self._session.request(
                        method, full, headers or {}, data, authorization=other, stream=stream
                    )
            if response.status_code not in wanted:
                raise self._refusal(action, response)
            return response

        return self._repeated(action, ask, TRIES if repeat else 1)

    def resolve(self, response: Response, url: str) -> str:
        """Return `url`, which may be relative to the response's, as a full URL. Raises RegistryError elsewhere."""
        full = adopted(joined(response.url, url), self.address)
        if full is None:
            raise RegistryError(
                f"the registry at {self.address} sends us to another host",
                details=f"{response.url.partition('?')[0]} answered {url.partition('?')[0]}",
                fix="have it send its own address, or relative ones (distribution: http.relativeurls: true)",
            )
        return full

    def _repeated(self, action: str, ask: Callable[[], Response], tries: int) -> Response:
        attempt = 0
        while True:  # not by urllib3: an interrupt must end the pauses
            try:
                return ask()
            except RegistryError as error:
                attempt += 1
                if not error.transient or attempt == tries:
                    error.details = self._authorization.redacted(error.details)
                    raise
                log.debug("again after %s: %s", error.status or "a broken connection", action)
                self.sleep(pause(attempt - 1, error.retry_after))

    def _refusal(self, action: str, response: Response) -> RegistryError:
        error = self._error(action, response)
        # Requests that change something are not sent on, and no account is sent to another address.
        location = response.header("Location") if 300 <= response.status_code < 400 else ""
        place = addresses.of_url(joined(response.url, location))
        if place is not None and place != self.address:
            error.details = "\n".join((error.details, f"it leads to {place}"))
            if location or place.host == self.address.host:
                error.fix = f"if that is the registry, write its address: {place}"
        if error.status == 503 and self.address.is_loopback:  # the frontend's answer where the registry is down
            error.fix = START
        return error

    def _error(self, action: str, response: Response) -> RegistryError:
        body = self._authorization.redacted(response.content.decode(errors="replace"))
        error = from_response(action, response.status_code, body.encode(), response.header("Retry-After"))
        return self._authorization.explained(error)

    def _ask_token_server(self, url: str, authorization: str | None, form: Mapping[str, str] | None) -> bytes:
        action = f"a token from {url.partition('?')[0]}"

        def ask() -> Response:
            response = self._session.request("POST" if form else "GET", url, {}, form, authorization=authorization)
            if response.status_code != 200:
                raise self._error(action, response)
            return response

        return self._repeated(action, ask, TRIES).content
