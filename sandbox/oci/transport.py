"""Sends requests to one registry, its token server and the stores it redirects to: authorized, repeated, checked."""

from __future__ import annotations

import itertools
import logging
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urljoin, urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import InvalidHeader, LocationParseError
from urllib3.util import Retry

from sandbox.oci import address as addresses
from sandbox.oci.address_guard import GuardedAdapter
from sandbox.oci.authorization import Authorization, Grants
from sandbox.oci.credential import Keychain
from sandbox.oci.digest import CHUNK
from sandbox.oci.oci_errors import RegistryError, from_response
from sandbox.sanitize import cause, deepest
from sandbox.system import interruption

# Seconds: to connect, until the next byte of a response to a question, and of a response to an upload.
CONNECT_TIMEOUT, QUESTION_TIMEOUT, UPLOAD_TIMEOUT = 10.0, 60.0, 300.0
QUESTIONS = ("GET", "HEAD")
# Registries may refuse larger manifests (distribution-spec, "Pushing Manifests"), so nothing else needs to be larger.
LARGEST = 4 << 20
REDIRECTS = 5
MAX_CONNECTIONS = 32
TRIES = 6
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0  # seconds

START = "start it: sandbox up"
_QUERY = re.compile(r"\?[^\s)'\"]*")
_MALFORMED = (ValueError, TypeError)  # of urllib3 for a URL, of requests for that of a proxy without a host
# The server closed the connection, which says nothing of its certificate.
_CLOSED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)

Body = bytes | Iterable[bytes] | Mapping[str, str] | None

log = logging.getLogger(__name__)


@dataclass
class Response:
    status_code: int
    url: str
    headers: Mapping[str, str] = field(default_factory=CaseInsensitiveDict)
    content: bytes = b""
    stream: requests.Response | None = field(default=None, repr=False)

    def header(self, name: str) -> str:
        return self.headers.get(name, "")

    def chunks(self) -> Iterator[bytes]:
        """Yield the body. Raises RegistryError if it breaks off."""
        try:
            yield from self.stream.iter_content(CHUNK) if self.stream else ()
        except (requests.RequestException, ValueError) as error:
            brief = f"{self.url.partition('?')[0]} broke off"
            raise RegistryError(brief, details=str(error), transient=True) from error

    def close(self) -> None:
        if self.stream:
            self.stream.close()


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
        self._authorization = Authorization(self.address, keychain, self._ask_token_server, clock)
        self._session = _Session()
        self._session.trust_env = not self.address.is_loopback  # else proxies of the environment are used
        self._session.auth = lambda request: request  # without one, requests would look passwords up in netrc
        self._session.max_redirects = REDIRECTS
        self._session.headers.update({"User-Agent": "sandbox", "Accept-Encoding": "identity"})
        adapter = GuardedAdapter(self.address, pool_maxsize=MAX_CONNECTIONS)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

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
        request = partial(self.request, method, full, headers, data, stream=stream)

        def ask() -> Response:
            used = self._authorization.header(grants)
            response = request(authorization=used)
            if response.status_code == 401 and addresses.of_url(response.url) == self.address:
                renewed = self._authorization.renewed(response.header("WWW-Authenticate"), grants, used)
                if renewed and not (data is None or isinstance(data, bytes)):
                    brief = f"the registry wants another token for {action}"
                    raise RegistryError(brief, details="HTTP status 401", status=401, transient=True)
                if renewed:
                    response = request(authorization=renewed)
            if response.status_code not in wanted:
                raise self._refusal(action, response)
            return response

        return self._repeated(action, ask, TRIES if repeat else 1)

    def resolve(self, response: Response, url: str) -> str:
        """Return `url`, which may be relative to the response's, as a full URL of this registry.

        Registries behind a proxy, a forwarded port or TLS termination write the name, scheme or port that they see.
        """
        try:
            parts = urlsplit(urljoin(response.url, url))
        except ValueError as error:
            raise RegistryError(f"{self.address} gave a URL that is not valid", details=str(error)) from None
        return parts._replace(scheme=self.address.scheme, netloc=self.address.netloc, fragment="").geturl()

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        data: Body = None,
        *,
        authorization: str | None = None,
        stream: bool = False,
    ) -> Response:
        """Return the response of any server; redirects of GET and HEAD are followed. Raises RegistryError."""
        try:
            response = self._session.request(
                method,
                url,
                headers={**(headers or {}), "Authorization": authorization},
                data=data,
                allow_redirects=method in QUESTIONS,
                stream=True,
                timeout=(CONNECT_TIMEOUT, QUESTION_TIMEOUT if method in QUESTIONS else UPLOAD_TIMEOUT),
            )
            if stream and response.ok:
                return Response(response.status_code, response.url, response.headers, stream=response)
            return Response(response.status_code, response.url, response.headers, _body(response))
        except (requests.RequestException, *_MALFORMED) as error:
            raise self._unreachable(method, url, error) from None  # its text contains URLs with their signatures

    def _unreachable(self, method: str, url: str, error: Exception) -> RegistryError:
        is_silent = isinstance(error, requests.ReadTimeout)  # and would be at the next try as well
        untrusted = isinstance(error, requests.exceptions.SSLError) and not isinstance(deepest(error), _CLOSED)
        reason = "it accepts connections and does not answer" if is_silent else _QUERY.sub("", cause(error))
        if isinstance(deepest(error), LocationParseError | TypeError):
            reason = "a URL is malformed"  # the error may quote that of a proxy, with its password
        details = f"{method} {url.partition('?')[0]}: {reason}"
        fix = START if self.address.is_loopback else "check the network, a proxy or the host's name"
        proxies = requests.utils.get_environ_proxies(url) if self._session.trust_env else {}
        if proxy := requests.utils.select_proxy(url, proxies):
            details += f", through the proxy {proxy.rpartition('@')[2]}"
            fix = "have HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY) name an http:// proxy that works, or NO_PROXY this host"
        if untrusted:
            fix = "trust the registry's certificate authority, or write http:// if it has no TLS"
        transient = not (untrusted or is_silent or isinstance(error, (requests.TooManyRedirects, *_MALFORMED)))
        brief = f"no usable connection to the registry at {self.address}"
        return RegistryError(brief, details=details, fix=fix, transient=transient)

    def _repeated(self, action: str, ask: Callable[[], Response], tries: int) -> Response:
        for attempt in itertools.count(1):  # not by urllib3: an interrupt must end the pauses
            try:
                return ask()
            except RegistryError as error:
                if not error.transient or attempt == tries:
                    error.details = self._authorization.redacted(error.details)
                    raise
                log.debug("again after %s: %s", error.status or "a broken connection", action)
                self.sleep(pause(attempt - 1, error.retry_after))
        raise AssertionError

    def _refusal(self, action: str, response: Response) -> RegistryError:
        body = self._authorization.redacted(response.content.decode(errors="replace"))
        error = from_response(action, response.status_code, body.encode(), response.header("Retry-After"))
        if error.status == 503 and self.address.is_loopback:  # the frontend's answer where the registry is down
            error.fix = START
        return self._authorization.explained(error)

    def _ask_token_server(self, url: str, authorization: str | None, form: Mapping[str, str] | None) -> bytes:
        action = f"a token from {url.partition('?')[0]}"

        def ask() -> Response:
            response = self.request("POST" if form else "GET", url, data=form, authorization=authorization)
            if response.status_code != 200:
                raise self._refusal(action, response)
            return response

        return self._repeated(action, ask, TRIES).content


class _Session(requests.Session):
    """A session that sends accounts to no other host, and follows nothing to where others could change the answer."""

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        source, target = addresses.of_url(response.url), addresses.of_url(str(prepared_request.url))
        if not target or (source and source.scheme == "https" and target.scheme != "https"):
            raise RegistryError(
                f"{source} redirects to an address that is not allowed",
                details=f"{response.url.partition('?')[0]} leads to {str(prepared_request.url).partition('?')[0]}",
                fix="tell the registry's owner: https must lead to https",
            )
        if source != target:
            prepared_request.headers.pop("Authorization", None)


def _body(response: requests.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(1 << 16):
        body += chunk
        if len(body) > LARGEST:
            response.close()
            raise RegistryError(
                "an answer of a registry is too large",
                details=f"{response.url.partition('?')[0]}: more than {LARGEST} bytes",
                fix="check the address, or tell the registry's owner",
            )
    return bytes(body)
