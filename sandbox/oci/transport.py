"""Sends requests to one registry, its token server and the stores it redirects to: authorized, repeated, checked."""

import itertools
import logging
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Self
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import LocationParseError

from sandbox.oci import address as addresses
from sandbox.oci.address_guard import GuardedAdapter
from sandbox.oci.authorization import Authorization, Grants
from sandbox.oci.credential import Keychain
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
# The server closed the connection during the TLS handshake; its certificate may be valid.
_CLOSED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)

Answer = tuple[requests.Response, bytes]
"""A response with its body, which is empty if the body is streamed."""

log = logging.getLogger(__name__)


def pause(attempt: int, retry_after: str = "") -> float:
    """Return the seconds to wait after the failed try `attempt`, from 0: the seconds of a `Retry-After`, or double."""
    asked = float(retry_after) if retry_after.isdecimal() else 0.0
    return min(asked or FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)


class Transport:
    """An HTTP client of the registry at `url`, which several threads may share."""

    def __init__(
        self,
        url: str,
        *,
        keychain: Keychain | None = None,
        sleep: Callable[[float], None] = interruption.pause,
    ) -> None:
        self.address = addresses.parse(url)
        self.sleep = sleep
        self._authorization = Authorization(self.address, keychain, self._ask_token_server)
        self._session = _Session()
        self._session.trust_env = not self.address.is_loopback  # the environment's proxies are for other hosts
        self._session.auth = lambda request: request  # without one, requests would look passwords up in netrc
        self._session.max_redirects = REDIRECTS
        self._session.headers.update({"User-Agent": "sandbox", "Accept-Encoding": "identity"})
        adapter = GuardedAdapter(self.address, pool_maxsize=MAX_CONNECTIONS)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
    ) -> Answer:
        """Return the response and its body, if its status is in `wanted`; RegistryError otherwise.

        `url` is a path on this registry or a full URL of it. With `repeat`, broken connections, 5xx and 429 are tried
        again; use it only for bodies that can be sent twice. A streamed response must be closed.
        """
        full = f"{self.address}{url}" if url.startswith("/") else url
        action = f"{method} {full.partition('?')[0]}"
        request = partial(self.request, method, full, headers, data, stream=stream)

        def ask() -> Answer:
            used = self._authorization.header(grants)
            response, body = request(authorization=used)
            if response.status_code == 401 and addresses.of_url(response.url) == self.address:
                challenge = response.headers.get("WWW-Authenticate", "")
                renewed = self._authorization.renewed(challenge, grants, used)
                if renewed and (data is None or isinstance(data, bytes)):
                    return request(authorization=renewed)
            return response, body

        return self._repeated(action, ask, wanted, TRIES if repeat else 1)

    def resolve(self, response: requests.Response, url: str) -> str:
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
        data: bytes | Iterable[bytes] | Mapping[str, str] | None = None,
        *,
        authorization: str | None = None,
        stream: bool = False,
    ) -> Answer:
        """Return any server's response and its body; redirects of GET and HEAD are followed. Raises RegistryError."""
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
            return response, b"" if stream and response.ok else _body(response)
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

    def _repeated(self, action: str, ask: Callable[[], Answer], wanted: tuple[int, ...], tries: int) -> Answer:
        for attempt in itertools.count(1):  # not by urllib3: an interrupt must end the pauses
            try:
                response, body = ask()
                if response.status_code in wanted:
                    return response, body
                raise self._refusal(action, response, body)
            except RegistryError as error:
                if not error.transient or attempt == tries:
                    error.details = self._authorization.redacted(error.details)
                    raise
                log.debug("again after %s: %s", error.status or "a broken connection", action)
                self.sleep(pause(attempt - 1, error.retry_after))
        raise AssertionError

    def _refusal(self, action: str, response: requests.Response, body: bytes) -> RegistryError:
        text = self._authorization.redacted(body.decode(errors="replace"))
        error = from_response(action, response.status_code, text.encode(), response.headers.get("Retry-After", ""))
        if error.status == 503 and self.address.is_loopback:  # the frontend's answer where the registry is down
            error.fix = START
        return self._authorization.explained(error)

    def _ask_token_server(self, url: str, authorization: str | None, form: Mapping[str, str] | None) -> bytes:
        ask = partial(self.request, "POST" if form else "GET", url, data=form, authorization=authorization)
        return self._repeated(f"a token from {url.partition('?')[0]}", ask, (200,), TRIES)[1]


class _Session(requests.Session):
    """A session that sends credentials to no other host, and refuses redirects from https to http."""

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
