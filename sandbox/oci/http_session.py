"""HTTP to a registry, its token server and the stores it redirects to, by one session of `requests`.

Bodies of answers are read completely, up to a limit; only blobs are streamed.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from sandbox.config.schema.values import proxy_fault
from sandbox.oci.address import Address, joined, of_url
from sandbox.oci.address_guard import Guard
from sandbox.oci.digest import CHUNK
from sandbox.oci.oci_errors import RegistryError
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
    """A response from `url`: after redirects, not always the one that was asked. A streamed one must be closed."""

    status_code: int
    url: str
    headers: Mapping[str, str] = field(default_factory=CaseInsensitiveDict)
    content: bytes = b""
    answer: requests.Response | None = field(default=None, repr=False)

    def header(self, name: str) -> str:
        return self.headers.get(name, "")

    def chunks(self) -> Iterator[bytes]:
        with translated():
            yield from self.answer.iter_content(CHUNK) if self.answer else ()

    def close(self) -> None:
        if self.answer:
            self.answer.close()


class HttpSession:
    """Connections to the registry at `home` and to what it names, usable by several threads.

    A registry on this machine is reached without the environment's proxies and CAs; netrc is never read.
    """

    def __init__(self, home: Address) -> None:
        self._session = _Session()
        self._session.trust_env = not home.is_loopback
        self._session.max_redirects = REDIRECTS
        self._session.headers.update({"User-Agent": "sandbox", "Accept-Encoding": "identity"})
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

        Raises NoResponse, and RegistryError for a redirect that must not be followed and for a response that is too
        large.
        """
        proxy = self._proxy(url)
        secret = {"Authorization": authorization} if authorization else {}
        with translated(proxy):
            answer = self._session.request(
                method,
                url,
                headers={**headers, **secret},
                data=data,
                auth=_as_given,
                allow_redirects=follow and method in QUESTIONS,
                stream=True,
                timeout=(CONNECT_TIMEOUT, QUESTION_TIMEOUT if method in QUESTIONS else UPLOAD_TIMEOUT),
            )
            streams = stream and answer.ok
            content = b"" if streams else _whole(answer)
        return Response(answer.status_code, answer.url, answer.headers, content, answer if streams else None)

    def _proxy(self, url: str) -> str:
        """Return the proxy for a URL, without its account.

        Raises NoResponse for one that cannot be a proxy: requests may quote it with its account.
        """
        if not self._session.trust_env:
            return ""
        with translated():
            proxies = self._session.merge_environment_settings(url, {}, True, None, None)["proxies"]
        proxy: str = requests.utils.select_proxy(url, proxies) or ""
        full = proxy if "://" in proxy else f"http://{proxy}"
        shown = proxy.rpartition("@")[2]
        if proxy and (fault := proxy_fault(full, [full.partition("://")[0].lower()])):
            key = next(key for key in (urlsplit(url).scheme, "all") if proxies.get(key) == proxy)
            raise NoResponse(f"{key.upper()}_PROXY names no proxy: {fault}", proxy=shown)
        return shown


class _Session(requests.Session):
    """A session that sends accounts to no other host, and follows nothing to where others could change the answer."""

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        here, there = of_url(response.url), of_url(str(prepared_request.url))
        # A Location that this and requests read differently is refused.
        same = there == of_url(joined(response.url, response.headers.get("Location", "")))
        if not there or not same or (here and here.scheme == "https" and there.scheme != "https"):
            raise RegistryError(
                f"{here} redirects to an address that is not allowed",
                details=f"{response.url.partition('?')[0]} leads to {str(prepared_request.url).partition('?')[0]}",
                fix="tell the registry's owner: https must lead to https",
            )
        if here != there:
            prepared_request.headers.pop("Authorization", None)


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
def translated(proxy: str = "") -> Iterator[None]:
    """Turn the errors of requests in the block into NoResponse."""
    try:
        yield
    except requests.exceptions.ReadTimeout:  # a frozen server would be silent at the next try as well
        raise NoResponse("it accepts connections and does not answer", proxy=proxy) from None
    except requests.RequestException as error:
        untrusted = isinstance(error, requests.exceptions.SSLError) and not isinstance(deepest(error), _CLOSED)
        transient = isinstance(error, _TRANSIENT) and not untrusted
        raise NoResponse(str(error), transient=transient, untrusted=untrusted, proxy=proxy) from error
    except ValueError as error:  # of urllib3, for a URL or a header that no server can be sent
        raise NoResponse(str(error), proxy=proxy) from error


def _as_given(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return an authentication that adds nothing; without one, requests would look passwords up in netrc."""
    return request


def _whole(answer: requests.Response) -> bytes:
    """Return the body, of which a refusal may be cut short. Raises RegistryError for one over the limit."""
    most = LARGEST if answer.ok else LARGEST_REFUSAL
    body = bytearray()
    for chunk in answer.iter_content(1 << 16):
        body += chunk
        if len(body) > most:
            answer.close()
            if answer.ok:
                raise RegistryError(
                    "an answer of a registry is too large",
                    details=f"{answer.url.partition('?')[0]}: more than {most} bytes",
                    fix="check the address, or tell the registry's owner",
                )
            break
    return bytes(body[:most])
