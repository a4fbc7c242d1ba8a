"""HTTP and HTTPS to servers elsewhere, by `requests`: TLS, proxies, cookies. Only this module imports it."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import LocationValueError
from urllib3.response import HTTPResponse
from urllib3.util.ssl_ import create_urllib3_context

from sandbox.config.schema.values import proxy_fault
from sandbox.oci import guarded_sockets
from sandbox.oci.guarded_sockets import CONNECT_TIMEOUT, Guard, Paced, Watched
from sandbox.oci.http_response import Body, Broken, Response
from sandbox.sanitize import deepest

_PASSING: tuple[type[Exception], ...] = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
# The server closed the connection, which says nothing of its certificate.
_CLOSED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


class WebSessions:
    """Each thread has its own session; netrc is never read.

    Proxies and CAs of the environment are used, unless everything began at a registry on this machine (not `own`).
    """

    def __init__(self, guard: Guard, *, own: bool) -> None:
        self._guard = guard
        self._own = own
        self._lock = threading.Lock()
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()
        self._local = threading.local()

    def send(self, method: str, url: str, headers: Mapping[str, str], data: Body) -> Response:
        """Return the answer to one request, its body unread. Raises Broken.

        The request is prepared without the session, which would take a fifth of a small request's time.
        """
        session = self._session()
        options: dict[str, Any] = {"stream": True, "timeout": (CONNECT_TIMEOUT, guarded_sockets.PATIENCE)}
        with _translated():
            asked = requests.Request(method, url, headers, data=data, auth=_as_given, cookies=session.cookies).prepare()
            if self._own:
                options |= session.merge_environment_settings(url, {}, True, None, None)
        proxy = _proxy(url, options.get("proxies") or {})
        with _translated(proxy):
            found = session.send(asked, allow_redirects=False, **options)

        def read(size: int) -> Iterator[bytes]:
            with _translated():
                yield from found.iter_content(size)

        named = {name.lower(): text for name, text in found.headers.items()}
        return Response(found.status_code, found.url, named, read, found.close)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = Session()
            session.trust_env = self._own
            adapter = Adapter(self._guard, pool_connections=2, pool_maxsize=2)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            with self._lock:
                self._sessions.append(session)
        return session


class Session(requests.Session):
    """A session that follows no redirects, and does not prepare to: requests would read the body of one at once."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """See requests.Session."""


class Adapter(HTTPAdapter):
    """An adapter of requests whose connections are all guarded."""

    def __init__(self, guard: Guard, **options: Any) -> None:
        shared = {"guard": guard, "response_class": PacedAnswer}
        plain = type("Plain", (Watched, HTTPConnection), shared)
        secure = type("Secure", (Watched, HTTPSConnection), shared)
        self._pools = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """See HTTPAdapter."""
        super().init_poolmanager(*args, **options, ssl_context=_trusting())
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """See HTTPAdapter."""
        manager = super().proxy_manager_for(proxy, **options, ssl_context=_trusting())
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = self._pools
        return manager


class PacedAnswer(http.client.HTTPResponse):
    """An answer whose status, headers and body all have to come in time."""

    def __init__(self, connection: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(Paced(connection), *args, **options)  # type: ignore[arg-type]  # only makefile() is used


def _trusting() -> ssl.SSLContext:
    """Return a TLS context that also trusts the system's store, with a company's CA: requests has its own roots."""
    context = create_urllib3_context()
    context.load_default_certs()
    return context


@contextlib.contextmanager
def _translated(proxy: str = "") -> Iterator[None]:
    proxy = proxy.rpartition("@")[2]
    try:
        yield
    # One is of urllib3, which requests does not translate everywhere, the other of a header that no server can be sent.
    except (LocationValueError, UnicodeEncodeError) as error:
        raise Broken(str(error), proxy=proxy) from error
    except requests.RequestException as error:
        untrusted = isinstance(error, requests.exceptions.SSLError) and not isinstance(deepest(error), _CLOSED)
        passing = isinstance(error, _PASSING) and not untrusted
        raise Broken(str(error), passing=passing, untrusted=untrusted, proxy=proxy) from error


def _proxy(url: str, proxies: Mapping[str, str]) -> str:
    """Return the proxy for a URL. Raises Broken for what is none, which requests may quote with its account."""
    proxy: str = requests.utils.select_proxy(url, proxies) or ""
    full = proxy if "://" in proxy else f"http://{proxy}"
    if proxy and (fault := proxy_fault(full, [full.partition("://")[0].lower()])):
        key = next(key for key in (urlsplit(url).scheme, "all") if proxies.get(key) == proxy)
        raise Broken(f"{key.upper()}_PROXY names no proxy: {fault}", proxy=proxy.rpartition("@")[2])
    return proxy


def library_response(found: Response) -> requests.Response:
    """Return an answer, read completely, in the form of `requests` for libraries that use it themselves."""
    answer = requests.Response()
    answer.status_code, answer.url = found.status_code, found.url
    answer.reason = http.client.responses.get(found.status_code, "")
    answer.headers.update(found.headers)
    answer.raw = HTTPResponse(io.BytesIO(), answer.headers, found.status_code, preload_content=False)
    answer.encoding = requests.utils.get_encoding_from_headers(answer.headers)
    answer.__dict__ |= {"_content": found.content, "_content_consumed": True}  # as requests keeps it itself
    return answer


def _as_given(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return an authentication that adds nothing; without one, requests would look passwords up in netrc."""
    return request
