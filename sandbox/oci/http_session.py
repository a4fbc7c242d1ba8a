"""HTTP to a registry, its token server and the stores it redirects to, by one session of `requests`.

Redirects follow rules of our own: no header with a secret is sent to another host. Answers are read completely, up to a
limit; only blobs are streamed.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import LocationValueError
from urllib3.util.ssl_ import create_urllib3_context

from sandbox.config.schema.values import proxy_fault
from sandbox.oci.address import Address, joined, of_url
from sandbox.oci.address_guard import Guard
from sandbox.oci.oci_errors import RegistryError, is_transient
from sandbox.sanitize import deepest

# Seconds: to connect, until the next byte of an answer to a question, and of an answer to an upload.
CONNECT_TIMEOUT, QUESTION_TIMEOUT, UPLOAD_TIMEOUT = 10.0, 60.0, 300.0
QUESTIONS = ("GET", "HEAD")
# Registries may refuse larger manifests (distribution-spec, "Pushing Manifests"), so nothing else needs to be larger.
LARGEST = 4 << 20
LARGEST_REFUSAL = 64 << 10
REDIRECTS = 5
MOST_CONNECTIONS = 32

Body = bytes | Iterable[bytes] | Mapping[str, str] | None

_HEADERS = {"User-Agent": "sandbox", "Accept": "*/*", "Accept-Encoding": "identity"}
_TRANSIENT: tuple[type[Exception], ...] = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
# The server closed the connection, which says nothing of its certificate.
_CLOSED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


class NoResponse(Exception):
    """There is no response, or it broke off.

    `transient`: another try may succeed. `untrusted`: the host could not prove its identity, or does not use TLS at
    all. `proxy` is the one that was used, without its account. The text may contain URLs with their signatures.
    """

    def __init__(self, text: str, *, transient: bool = False, untrusted: bool = False, proxy: str = "") -> None:
        super().__init__(text)
        self.transient = transient
        self.untrusted = untrusted
        self.proxy = proxy


@dataclass
class Response:
    """A response to a request for `url`.

    `read` yields the body in pieces of about the given size, once, and raises NoResponse. `content` is the body, once
    it was read completely.
    """

    status_code: int
    url: str
    headers: Mapping[str, str] = field(default_factory=CaseInsensitiveDict)
    read: Callable[[int], Iterator[bytes]] = lambda _: iter(())
    close: Callable[[], None] = lambda: None
    content: bytes = b""

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    @property
    def is_redirect(self) -> bool:
        return self.status_code in (301, 302, 303, 307, 308) and bool(self.header("Location"))

    def header(self, name: str) -> str:
        return self.headers.get(name, "")


class HttpSession:
    """Connections to the registry at `home` and to what it names, usable by several threads.

    A registry on this machine is reached without the environment's proxies and CAs; netrc is never read.
    """

    def __init__(self, home: Address) -> None:
        self._session = _Session()
        self._session.trust_env = not home.is_loopback
        adapter = _Adapter(Guard(home.host, near=home.is_loopback), pool_maxsize=MOST_CONNECTIONS)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def close(self) -> None:
        self._session.close()

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: Body = None,
        *,
        authorization: str | None = None,
        stream: bool = False,
        follow: bool = True,
    ) -> Response:
        """Return the response to a request; redirects of GET and HEAD are followed, if `follow`.

        `authorization` is sent to the scheme, host and port of `url` only. Raises NoResponse, and RegistryError for a
        redirect that must not be followed and for a response that is too large.
        """
        origin = of_url(url)
        for _ in range(REDIRECTS + 1):
            secret = {"Authorization": authorization} if authorization and of_url(url) == origin else {}
            response = self._send(method, url, {**_HEADERS, **headers, **secret}, data)
            if not follow or method not in QUESTIONS or not response.is_redirect:
                return response if stream and response.ok else _whole(response)
            _whole(response).close()  # read, for the connection to be used again
            url = _redirect(origin, url, joined(url, response.header("Location")))
        raise RegistryError(f"{origin} redirects in circles", details=f"more than {REDIRECTS} redirects")

    def _send(self, method: str, url: str, headers: Mapping[str, str], data: Body) -> Response:
        proxy = self._proxy(url)
        timeout = (CONNECT_TIMEOUT, QUESTION_TIMEOUT if method in QUESTIONS else UPLOAD_TIMEOUT)
        with _translated(proxy):
            answer = self._session.request(
                method,
                url,
                headers=headers,
                data=data,
                auth=_as_given,
                allow_redirects=False,
                stream=True,
                timeout=timeout,
            )

        def read(size: int) -> Iterator[bytes]:
            with _translated(proxy):
                yield from answer.iter_content(size)

        return Response(answer.status_code, answer.url, answer.headers, read, answer.close)

    def _proxy(self, url: str) -> str:
        """Return the proxy for a URL, without its account.

        Raises NoResponse for one that cannot be a proxy: requests may quote it with its account.
        """
        if not self._session.trust_env:
            return ""
        with _translated():
            proxies = self._session.merge_environment_settings(url, {}, True, None, None)["proxies"]
        proxy: str = requests.utils.select_proxy(url, proxies) or ""
        full = proxy if "://" in proxy else f"http://{proxy}"
        shown = proxy.rpartition("@")[2]
        if proxy and (fault := proxy_fault(full, [full.partition("://")[0].lower()])):
            key = next(key for key in (urlsplit(url).scheme, "all") if proxies.get(key) == proxy)
            raise NoResponse(f"{key.upper()}_PROXY names no proxy: {fault}", proxy=shown)
        return shown


class _Session(requests.Session):
    """A session that follows no redirects, and does not prepare to: requests would read the body of one at once."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """See requests.Session."""


class _Guarded(HTTPConnection):
    guard: Guard

    def _new_conn(self) -> socket.socket:
        if self.proxy is not None:  # which resolves names itself, from where it is
            return super()._new_conn()
        with contextlib.suppress(OSError):  # reported as a connection that cannot be made
            self.guard.resolve(self.host, self.port or 0)
        connection = super()._new_conn()
        try:
            self.guard.admit(self.host, connection)
        except BaseException:
            connection.close()
            raise
        return connection


class _Adapter(HTTPAdapter):
    """An adapter of requests whose connections are all guarded, and which also trusts the system's store."""

    def __init__(self, guard: Guard, **options: Any) -> None:
        plain = type("Plain", (_Guarded,), {"guard": guard})
        secure = type("Secure", (_Guarded, HTTPSConnection), {"guard": guard})
        self._pools = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=_trusting())
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options, ssl_context=_trusting())
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = self._pools
        return manager


def _trusting() -> ssl.SSLContext:
    context = create_urllib3_context()
    context.load_default_certs()
    return context


@contextlib.contextmanager
def _translated(proxy: str = "") -> Iterator[None]:
    try:
        yield
    # One is of urllib3, which requests does not translate everywhere, the other of a header that no server can be sent.
    except (LocationValueError, UnicodeEncodeError) as error:
        raise NoResponse(str(error), proxy=proxy) from error
    except requests.exceptions.ReadTimeout:  # a frozen server would be silent at the next try as well
        raise NoResponse("it accepts connections and does not answer", proxy=proxy) from None
    except requests.RequestException as error:
        untrusted = isinstance(error, requests.exceptions.SSLError) and not isinstance(deepest(error), _CLOSED)
        transient = isinstance(error, _TRANSIENT) and not untrusted
        raise NoResponse(str(error), transient=transient, untrusted=untrusted, proxy=proxy) from error


def may_pass(result: Response | Exception) -> bool:
    if isinstance(result, Exception):
        return isinstance(result, NoResponse) and result.transient
    return is_transient(result.status_code)


def _as_given(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return an authentication that adds nothing; without one, requests would look passwords up in netrc."""
    return request


def _redirect(origin: Address | None, before: str, url: str) -> str:
    """Return `url`, if it may be followed: not where others could read and change what a registry protects.

    Its address is tested when it is connected to.
    """
    here, there = of_url(before), of_url(url)
    if there is None or (here and here.scheme == "https" and there.scheme != "https"):
        raise RegistryError(
            f"{origin} redirects to an address that is not allowed",
            details=f"{before.partition('?')[0]} leads to {url.partition('?')[0]}",
            fix="tell the registry's owner: https must lead to https",
        )
    return url


def _whole(response: Response) -> Response:
    """Return a response with its body, of which a refusal may be cut short.

    Raises NoResponse, and RegistryError for a body over the limit.
    """
    most = LARGEST if response.ok else LARGEST_REFUSAL
    body = bytearray()
    for chunk in response.read(1 << 16):
        body += chunk
        if len(body) > most:
            response.close()
            if response.ok:
                raise RegistryError(
                    "an answer of a registry is too large",
                    details=f"{response.url.partition('?')[0]}: more than {most} bytes",
                    fix="check the address, or tell the registry's owner",
                )
            break
    response.content = bytes(body[:most])
    return response
