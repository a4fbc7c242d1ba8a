"""Kept-alive connections, and redirects followed by rules of our own: no header with a secret leaves its host.

What answers say is read whole, up to a limit; only blobs are streamed. With `sockets` the only importer of `requests`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import requests

from sandbox.oci import guarded_sockets
from sandbox.oci.address import Address, joined, of_url
from sandbox.oci.oci_errors import RegistryError, is_transient

CONNECT_TIMEOUT = 10.0
# Registries may refuse larger manifests (distribution-spec, "Pushing Manifests"), so nothing else needs be larger.
LARGEST = 4 << 20
LARGEST_REFUSAL = 64 << 10
REDIRECTS = 5

_HEADERS = {"User-Agent": "sandbox", "Accept": "*/*", "Accept-Encoding": "identity"}

Response = requests.Response
Broken = requests.RequestException
Body = bytes | Iterable[bytes] | Mapping[str, str] | None


class Connections:
    """HTTP for one registry, its token server and the stores it redirects to; each thread has its own session.

    Registries on this machine are reached directly: no proxy, no settings of the environment. netrc is never read.
    """

    def __init__(self, home: Address) -> None:
        self._direct = home.is_loopback
        self._guard = guarded_sockets.Guard(home.host, near=self._direct)
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
        """Return the answer to a request. GET and HEAD are followed where they are redirected to, if `follow`.

        `authorization` goes to the scheme, host and port of `url` only. Raises Broken when there is no answer, and
        RegistryError for a redirect that is not to be followed and for an answer that is too large.
        """
        origin = of_url(url)
        for _ in range(REDIRECTS + 1):
            own = of_url(url) == origin
            secret = {"Authorization": authorization} if authorization and own else {}
            response = self._send(method, url, {**_HEADERS, **headers, **secret}, data)
            if not follow or method not in ("GET", "HEAD") or not response.is_redirect:
                return response if stream and response.ok else _whole(response)
            response.close()
            url = _redirect(origin, url, joined(url, response.headers["Location"]))
        raise RegistryError(f"{origin} redirects in circles", details=f"more than {REDIRECTS} redirects")

    def _send(self, method: str, url: str, headers: Mapping[str, str], data: Body) -> Response:
        """Return one request.

        It is prepared without the session, which takes a fifth of a small one's time for nothing.
        """
        session = self._session()
        request = requests.Request(method, url, headers, data=data, auth=_as_given, cookies=session.cookies).prepare()
        options: dict[str, Any] = {"stream": True, "timeout": (CONNECT_TIMEOUT, guarded_sockets.PATIENCE)}
        if not self._direct:
            options |= session.merge_environment_settings(url, {}, True, None, None)
        return session.send(request, allow_redirects=False, **options)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = not self._direct
            adapter = guarded_sockets.Adapter(self._guard, pool_connections=2, pool_maxsize=2)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            with self._lock:
                self._sessions.append(session)
        return session


def may_pass(error: Exception) -> bool:
    """Tell whether a failure of the connection, rather than of the request, may be gone at the next try."""
    passing: tuple[type[Exception], ...] = (
        requests.exceptions.ConnectionError,
        requests.exceptions.Timeout,
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
    )
    return isinstance(error, passing) and not untrusted(error)


def is_passing(found: Response | Exception) -> bool:
    """Tell whether an answer, or the failure to get one, may be another at the next try."""
    return may_pass(found) if isinstance(found, Exception) else is_transient(found.status_code)


def untrusted(error: Exception) -> bool:
    """Tell whether the host could not prove who it is, or does not speak TLS at all."""
    return isinstance(error, requests.exceptions.SSLError)


def _redirect(origin: Address | None, before: str, url: str) -> str:
    """`url`, when it may be followed: not where others could read and change what a registry keeps from them.

    Where it leads to is looked at when it is connected to.
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

    Raises Broken, and RegistryError for a flood.
    """
    most = LARGEST if response.ok else LARGEST_REFUSAL
    body = bytearray()
    for chunk in response.iter_content(1 << 16):
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
    response.__dict__ |= {"_content": bytes(body[:most]), "_content_consumed": True}  # as requests keeps it itself
    return response


def _as_given(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return an authentication that adds nothing; without one, requests would look passwords up in netrc."""
    return request
