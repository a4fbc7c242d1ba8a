"""The page's server: for this machine only, read-only, and only for clients that have its address with the token.

The token is in the address's fragment, which browsers neither send nor pass on; the page's script sends it in a header.
A request for another Host is refused (DNS rebinding), and no other origin may read an answer.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, cast

from sandbox import __version__
from sandbox.errors import SandboxError

ADDRESS = "127.0.0.1"
ASSETS = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

State = Callable[[], Mapping[str, Any]]


class Dashboard:
    """A server on `port` of this machine's loopback, 0 for any free one. Raises SandboxError if the port is taken."""

    def __init__(self, state: State, *, port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        try:
            self._server = _Server((ADDRESS, port), partial(_Handler, state, self.token))
        except OSError as error:
            raise SandboxError(
                f"port {port} of {ADDRESS} cannot be used",
                details=str(error),
                fix="leave --port out, and a free one is taken",
                id="port-in-use",
            ) from error
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self._server.server_port}/#{self.token}"

    def serve(self) -> None:
        """Answer until `close` is called from another thread, or the command is interrupted."""
        try:
            self._server.serve_forever(poll_interval=0.1)
        finally:
            self._server.server_close()

    def close(self) -> None:
        """Have `serve` return."""
        self._server.shutdown()


class _Server(ThreadingHTTPServer):
    """A server whose clients may leave before they have their answer, as browsers do when a page is closed."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET with an asset, or with the state as JSON."""

    server_version = f"sandbox/{__version__}"
    sys_version = ""
    timeout = 30

    def __init__(self, state: State, token: str, *arguments: Any) -> None:
        self._state = state
        self._token = token
        super().__init__(*arguments)

    def do_GET(self) -> None:
        port = cast(ThreadingHTTPServer, self.server).server_port
        if self.headers.get("Host") not in (f"{ADDRESS}:{port}", f"localhost:{port}"):
            self._answer(421, "text/plain", b"not a host of this server\n")
        elif self.path in ASSETS:
            name, kind = ASSETS[self.path]
            self._answer(200, kind, files("sandbox.dashboard").joinpath("assets", name).read_bytes())
        elif self.path != "/state":
            self._answer(404, "text/plain", b"no such page\n")
        elif not hmac.compare_digest(self.headers.get("Authorization", "").encode(), f"Bearer {self._token}".encode()):
            self._answer(401, "text/plain", b"open the address that `sandbox dashboard` printed\n")
        else:
            self._answer(200, "application/json", json.dumps(self._state(), default=str).encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: Any) -> None:
        return
