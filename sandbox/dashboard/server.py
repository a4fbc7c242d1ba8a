"""The page's server: for this machine only, and only for clients that have its address with the token.

The token is in the address's fragment, which browsers neither send nor pass on; the page's script sends it in a header.
A request for another Host is refused (DNS rebinding), no other origin may read an answer, and what the page has done is
asked for by POST with the page's own Origin.
"""

import hmac
import json
import logging
import secrets
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

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

LARGEST = 4096  # bytes of a request

log = logging.getLogger(__name__)

# The parts of the page and its actions, by the path after the slash. A part returns what the page draws as JSON. An
# action takes the name of a sandbox and of a thing in it, and returns a text for people.
Parts = Mapping[str, Callable[[], Any]]
Actions = Mapping[str, Callable[[str, str], str]]


class Dashboard(ThreadingHTTPServer):
    """A server on `port` of this machine's loopback, 0 for any free one. Raises SandboxError if the port is taken."""

    daemon_threads = True

    def __init__(self, parts: Parts, actions: Actions, *, port: int = 0) -> None:
        self.parts, self.actions = parts, actions
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise SandboxError(
                f"port {port} of {ADDRESS} cannot be used",
                details=str(error),
                fix="leave --port out, and a free one is taken",
                id="port-in-use",
            ) from error

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/#{self.token}"

    def serve(self) -> None:
        """Answer until `shutdown` is called from another thread, or the command is interrupted."""
        try:
            self.serve_forever(poll_interval=0.1)
        finally:
            self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients may leave before they have their answer, as browsers do when a page is closed.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Dashboard
    server_version = f"sandbox/{__version__}"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        part = self.server.parts.get(self.path.removeprefix("/"))
        if self.headers.get("Host") not in self._hosts:
            self._refuse(421, "not a host of this server")
        elif self.path in ASSETS:
            name, kind = ASSETS[self.path]
            self._answer(200, kind, files("sandbox.dashboard").joinpath("assets", name).read_bytes())
        elif part is None:
            self._refuse(404, "no such page")
        elif not self._has_token:
            self._refuse(401, "open the address that `sandbox dashboard` printed")
        else:
            try:
                content = part()
            except Exception as error:  # the page shows the error, and asks again
                log.warning("%s of the dashboard: %s", self.path, error, exc_info=not isinstance(error, SandboxError))
                content = {"error": str(error)}
            self._answer(200, "application/json", json.dumps(content, default=str).encode())

    def do_POST(self) -> None:
        action = self.server.actions.get(self.path.removeprefix("/"))
        if self.headers.get("Host") not in self._hosts:
            self._refuse(421, "not a host of this server")
        elif self.headers.get("Origin") not in [f"http://{host}" for host in self._hosts]:
            self._refuse(403, "only the page itself may ask for this")
        elif not self._has_token:
            self._refuse(401, "open the address that `sandbox dashboard` printed")
        elif action is None:
            self._refuse(404, "no such action")
        else:
            try:
                length = int(self.headers.get("Content-Length", ""))
                request = json.loads(self.rfile.read(min(length, LARGEST)))
                text = action(str(request["sandbox"]), str(request["name"]))
            except SandboxError as error:
                self._refuse(409, str(error))
            except (ValueError, KeyError, TypeError):
                self._refuse(400, "the request must be JSON with `sandbox` and `name`")
            else:
                self._answer(200, "text/plain; charset=utf-8", text.encode())

    @property
    def _hosts(self) -> tuple[str, ...]:
        return f"{ADDRESS}:{self.server.server_port}", f"localhost:{self.server.server_port}"

    @property
    def _has_token(self) -> bool:
        given = self.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self.server.token}".encode())

    def _refuse(self, status: int, text: str) -> None:
        self._answer(status, "text/plain; charset=utf-8", f"{text}\n".encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: Any) -> None:
        return
