"""HTTP to a registry, its token server and the stores it redirects to, by one session of `requests`.

Names prove nothing: `127.1` and `2130706433` are loopback addresses too, anyone can have a name lead to one, and it can
lead elsewhere at the next lookup (DNS rebinding). So the address of each connection decides whether it is used.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
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
from sandbox.oci.digest import CHUNK
from sandbox.oci.oci_errors import RegistryError
from sandbox.sanitize import cause, deepest

# Seconds: to connect, until the next byte of a response to a question, and of a response to an upload.
CONNECT_TIMEOUT, QUESTION_TIMEOUT, UPLOAD_TIMEOUT = 10.0, 60.0, 300.0
QUESTIONS = ("GET", "HEAD")
# Registries may refuse larger manifests (distribution-spec, "Pushing Manifests"), so nothing else needs to be larger.
LARGEST = 4 << 20
LARGEST_REFUSAL = 64 << 10
REDIRECTS = 5
MAX_CONNECTIONS = 32
# Where clouds serve a machine's own credentials, other than by link-local addresses: AWS, Google, Alibaba, Azure.
METADATA = ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")

START = "start it: sandbox up"
_QUERY = re.compile(r"\?[^\s)'\"]*")

Body = bytes | Iterable[bytes] | Mapping[str, str] | None

_TRANSIENT: tuple[type[Exception], ...] = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
# The server closed the connection, which says nothing of its certificate.
_CLOSED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


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


class HttpSession:
    """Connections for the registry at `home`, without the environment's proxies if that is this machine."""

    def __init__(self, home: Address) -> None:
        self._home = home
        self._session = _Session()
        self._session.trust_env = not home.is_loopback
        self._session.max_redirects = REDIRECTS
        self._session.headers.update({"User-Agent": "sandbox", "Accept-Encoding": "identity"})
        adapter = _Adapter(_Guard(home), pool_maxsize=MAX_CONNECTIONS)
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
        """Return the response; redirects of GET and HEAD are followed. Raises RegistryError."""
        action, proxy = f"{method} {url.partition('?')[0]}", ""
        try:
            proxy = self._proxy(url)
            response = self._session.request(
                method,
                url,
                headers={**headers, **({"Authorization": authorization} if authorization else {})},
                data=data,
                auth=lambda request: request,  # without one, requests would look passwords up in netrc
                allow_redirects=follow and method in QUESTIONS,
                stream=True,
                timeout=(CONNECT_TIMEOUT, QUESTION_TIMEOUT if method in QUESTIONS else UPLOAD_TIMEOUT),
            )
            if stream and response.ok:
                return Response(response.status_code, response.url, response.headers, stream=response)
            return Response(response.status_code, response.url, response.headers, _body(response))
        except (requests.RequestException, ValueError) as error:  # urllib3 raises ValueErrors
            raise self._unreachable(action, error, proxy) from None  # its text contains URLs with their signatures

    def _unreachable(self, action: str, error: Exception, proxy: str) -> RegistryError:
        is_silent = isinstance(error, requests.exceptions.ReadTimeout)  # and would be at the next try as well
        untrusted = isinstance(error, requests.exceptions.SSLError) and not isinstance(deepest(error), _CLOSED)
        reason = "it accepts connections and does not answer" if is_silent else cause(error)
        details = f"{action}: {_QUERY.sub('', reason)}"
        fix = START if self._home.is_loopback else "check the network, a proxy or the host's name"
        if proxy:
            details += f", through the proxy {proxy}"
        if proxy or isinstance(error, requests.exceptions.InvalidProxyURL):
            fix = "have HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY) name an http:// proxy that works, or NO_PROXY this host"
        if untrusted:
            fix = "trust the registry's certificate authority, or write http:// if it has no TLS"
        transient = isinstance(error, _TRANSIENT) and not (untrusted or is_silent)
        brief = f"no usable connection to the registry at {self._home}"
        return RegistryError(brief, details=details, fix=fix, transient=transient)

    def _proxy(self, url: str) -> str:
        """Return the proxy for a URL, without its account. Requests might quote an invalid one with its account."""
        if not self._session.trust_env:
            return ""
        proxies = self._session.merge_environment_settings(url, {}, True, None, None)["proxies"]
        proxy: str = requests.utils.select_proxy(url, proxies) or ""
        full = proxy if "://" in proxy else f"http://{proxy}"
        if proxy and (fault := proxy_fault(full, [full.partition("://")[0].lower()])):
            key = next(key for key in (urlsplit(url).scheme, "all") if proxies.get(key) == proxy)
            raise requests.exceptions.InvalidProxyURL(f"{key.upper()}_PROXY names no proxy: {fault}")
        return proxy.rpartition("@")[2]


def _body(response: requests.Response) -> bytes:
    limit = LARGEST if response.ok else LARGEST_REFUSAL
    body = bytearray()
    for chunk in response.iter_content(1 << 16):
        body += chunk
        if len(body) > limit:
            response.close()
            if response.ok:
                raise RegistryError(
                    "an answer of a registry is too large",
                    details=f"{response.url.partition('?')[0]}: more than {limit} bytes",
                    fix="check the address, or tell the registry's owner",
                )
            break
    return bytes(body[:limit])


class _Session(requests.Session):
    """A session that sends accounts to no other host, and follows nothing to where others could change the answer."""

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        source, target = of_url(response.url), of_url(str(prepared_request.url))
        # A Location that requests and this project read differently is refused.
        same = target == of_url(joined(response.url, response.headers.get("Location", "")))
        if not target or not same or (source and source.scheme == "https" and target.scheme != "https"):
            raise RegistryError(
                f"{source} redirects to an address that is not allowed",
                details=f"{response.url.partition('?')[0]} leads to {str(prepared_request.url).partition('?')[0]}",
                fix="tell the registry's owner: https must lead to https",
            )
        if source != target:
            prepared_request.headers.pop("Authorization", None)


def is_local(address: str, own: str = "") -> bool:
    """Return whether an IP address leads to this machine, or to a service with this machine's secrets.

    `own` is the near end of a connection to it: both ends are the same when a machine connects to itself.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or str(parsed) in METADATA:
        return True
    return bool(own) and address == own


class _Guard:
    """Refuses connections to this machine, unless all connections to the registry itself were to this machine."""

    def __init__(self, home: Address) -> None:
        self.host = home.host
        self._registry_is_local = {True} if home.is_loopback else set[bool]()  # at each of its connections

    def check_name(self, host: str, port: int) -> None:
        """Refuse a name by its addresses, before a connection shows which ports are open. Raises RegistryError."""
        if host != self.host and self._registry_is_local != {True}:
            with contextlib.suppress(OSError):  # reported as a connection that cannot be made
                for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                    if is_local(str(address[0])):
                        raise self._refusal(host, str(address[0]))

    def check_connection(self, host: str, connection: socket.socket) -> None:
        peer = str(connection.getpeername()[0])
        local = is_local(peer, str(connection.getsockname()[0]))
        has_left = False in self._registry_is_local
        refused = has_left if host == self.host else self._registry_is_local != {True}
        if local and refused:
            raise self._refusal(host, peer)
        if host == self.host:
            self._registry_is_local.add(local)

    def _refusal(self, host: str, address: str) -> RegistryError:
        return RegistryError(
            f"{self.host} resolves to an address that is not allowed",
            details=f"{host} is {address}: this machine, or an address that only this machine may use",
            fix="check the registry's address, or tell its owner",
        )


class _GuardedConnection(HTTPConnection):
    guard: _Guard

    def _new_conn(self) -> socket.socket:
        if self.proxy is not None:  # which resolves names itself, from where it is
            return super()._new_conn()
        self.guard.check_name(self.host, self.port or 0)
        connection = super()._new_conn()
        try:
            self.guard.check_connection(self.host, connection)
        except BaseException:
            connection.close()
            raise
        return connection


class _Adapter(HTTPAdapter):
    def __init__(self, guard: _Guard, **options: Any) -> None:
        plain = type("Plain", (_GuardedConnection,), {"guard": guard})
        secure = type("Secure", (_GuardedConnection, HTTPSConnection), {"guard": guard})
        self._pools = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
        self._context = create_urllib3_context()
        self._context.load_default_certs()
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options, ssl_context=self._context)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = self._pools
        return manager
