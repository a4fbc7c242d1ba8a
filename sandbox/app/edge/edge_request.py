"""A request through the edge, whether or not this machine resolves the host's name."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from sandbox.engine import Bind

TIMEOUT = 30.0
# What a path and a query may have besides letters and digits (RFC 3986, section 3.3); the rest is sent as %XX.
ALLOWED = "%/?:@!$&'()*+,;="


def send(
    url: str,
    listen: str,
    context: ssl.SSLContext,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
) -> http.client.HTTPResponse:
    """Return the answer to a request for `url` from the edge, which listens on the address `listen`. Raises OSError."""
    target = urlsplit(url)
    host, port = str(target.hostname), target.port or 443
    address = Bind(listen, port).asked_at
    asked = (target.path or "/") + (f"?{target.query}" if target.query else "")
    connection = http.client.HTTPSConnection(host, port)
    plain = socket.create_connection((address, port), timeout=TIMEOUT)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as the library's own connections have
        connection.sock = context.wrap_socket(plain, server_hostname=host)
        content = None if body is None else body.encode()
        connection.request(method, quote(asked, safe=ALLOWED), content, {**(headers or {}), "Connection": "close"})
        return connection.getresponse()
    except BaseException:
        plain.close()
        connection.close()
        raise
