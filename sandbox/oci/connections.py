"""Kept-alive connections, and redirects by rules of our own: no header with a secret is sent to another host.

Answers are read completely, up to a limit; only blobs are streamed.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sandbox.oci.address import Address, joined, of_url
from sandbox.oci.guarded_sockets import Guard
from sandbox.oci.http_response import Body, Broken, Response
from sandbox.oci.loopback_http import LoopbackHttp
from sandbox.oci.oci_errors import RegistryError, is_transient

if TYPE_CHECKING:
    from sandbox.oci.web_sessions import WebSessions

# Registries may refuse larger manifests (distribution-spec, "Pushing Manifests"), so nothing else needs to be larger.
LARGEST = 4 << 20
LARGEST_REFUSAL = 64 << 10
REDIRECTS = 5

_HEADERS = {"User-Agent": "sandbox", "Accept": "*/*", "Accept-Encoding": "identity"}


class Connections:
    """HTTP for one registry, its token server and the stores it redirects to.

    Servers on this machine that speak plain HTTP are reached directly: no proxy, no settings of the environment, and
    without `requests`, whose import takes longer than most pushes to them.
    """

    def __init__(self, home: Address) -> None:
        self._direct = home.is_loopback
        self._guard = Guard(home.host, near=self._direct)
        self._lock = threading.Lock()
        self.loopback = LoopbackHttp(self._guard)

    def close(self) -> None:
        """Close every connection."""
        self.loopback.close()
        with self._lock:
            if web := self.__dict__.pop("_web", None):
                web.close()

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
        """Return the answer to a request; redirects of GET and HEAD are followed, if `follow`.

        `authorization` is sent to the scheme, host and port of `url` only. Raises Broken when there is no answer, and
        RegistryError for a redirect that must not be followed and for an answer that is too large.
        """
        origin = of_url(url)
        for _ in range(REDIRECTS + 1):
            own = of_url(url) == origin
            secret = {"Authorization": authorization} if authorization and own else {}
            response = self._send(method, url, {**_HEADERS, **headers, **secret}, data)
            if not follow or method not in ("GET", "HEAD") or not response.is_redirect:
                return response if stream and response.ok else _whole(response)
            _whole(response).close()  # read, for the connection to be used again
            url = _redirect(origin, url, joined(url, response.header("Location")))
        raise RegistryError(f"{origin} redirects in circles", details=f"more than {REDIRECTS} redirects")

    def _send(self, method: str, url: str, headers: Mapping[str, str], data: Body) -> Response:
        place = of_url(url)
        if place is not None and self._direct and is_plain(place):
            return self.loopback.send(method, place, url, headers, data)
        with self._lock:
            web = self._web
        return web.send(method, url, headers, data)

    @functools.cached_property
    def _web(self) -> WebSessions:
        from sandbox.oci.web_sessions import WebSessions

        return WebSessions(self._guard, own=not self._direct)


def is_plain(place: Address) -> bool:
    """Tell whether a server needs neither TLS nor a proxy."""
    return place.is_loopback and place.scheme == "http"


def is_passing(found: Response | Exception) -> bool:
    """Tell whether an answer, or its absence, may be different at the next try."""
    if isinstance(found, Exception):
        return isinstance(found, Broken) and found.passing
    return is_transient(found.status_code)


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

    Raises Broken, and RegistryError for a body over the limit.
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
