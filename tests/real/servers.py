"""Servers behind a sandbox's ingress: an application of the test's own process, and one that speaks TLS and HTTP/2."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

from sandbox.app import context
from sandbox.components.certificates.facts import KeyPair
from sandbox.engine import labelled
from tests.real import behind, machine
from tests.real.machine import tool
from tests.support.http_server import Handler, serving

PASSED = "sandbox-test-passed-through"


def page(other: str) -> str:
    """A page that says who answers for the host and port `other`, on the connection that the browser chooses."""
    return f"<body>no server answers<script src='https://{other}/who.js'></script>"


def script(name: str) -> str:
    """What the application `name` lets such a page say."""
    return f"document.body.textContent = '{name} answers'"


class _App(Handler):
    """Answers with what it was asked, as JSON; to an upload with its digest."""

    protocol_version = "HTTP/1.1"
    name = ""
    other = ""

    def do_GET(self) -> None:
        if self.path == "/who.js":
            self._answer(script(self.name), "text/javascript")
        elif self.path == "/page":
            self._answer(page(self.other), "text/html")
        else:
            self._answer(json.dumps(dict(self.headers)), "application/json")

    def do_PUT(self) -> None:
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        while left:
            piece = self.rfile.read(min(left, 1 << 20))
            digest.update(piece)
            left -= len(piece)
        self._answer(digest.hexdigest(), "text/plain")

    def _answer(self, content: str, kind: str) -> None:
        self.reply(200, content.encode(), {"Content-Type": kind})


@contextmanager
def app(name: str, *, other: str = "") -> Iterator[int]:
    """An application where pods reach it, whose `/page` asks `other`; gives its port."""
    answers = type("App", (_App,), {"name": name, "other": other})
    with serving(ThreadingHTTPServer((behind.gateway(), 0), answers)) as server:
        yield server.server_port


@contextmanager
def tls_app(name: str, leaf: KeyPair, folder: Path, *, other: str = "") -> Iterator[int]:
    """The same with TLS and HTTP/2, from the edge's image in a container of its own; gives its port."""
    folder.mkdir()
    (folder / "server.pem").write_bytes(leaf.cert_pem + leaf.key_pem)
    (folder / "haproxy.cfg").write_text(
        "defaults\n  mode http\n  timeout client 1m\n  timeout server 1m\n  timeout connect 5s\n"
        "frontend tls\n  bind :8443 ssl crt /config/server.pem alpn h2,http/1.1\n"
        f'  http-request return content-type text/javascript string "{script(name)}" if {{ path /who.js }}\n'
        f'  http-request return content-type text/html string "{page(other)}"\n'
    )
    edge = labelled.edge(machine.engine(), context.home())
    image = tool("docker", "inspect", "--format", "{{.Image}}", edge).strip()
    place = ["--volume", f"{folder}:/config:ro", "--publish", f"{behind.gateway()}::8443", "--user", "0"]
    tool("docker", "rm", "--force", PASSED, status=None)
    tool(
        "docker",
        "run",
        "--detach",
        "--name",
        PASSED,
        *place,
        "--entrypoint",
        "haproxy",
        image,
        "-f",
        "/config/haproxy.cfg",
    )
    try:
        yield int(tool("docker", "port", PASSED, "8443").rpartition(":")[2])
    finally:
        tool("docker", "rm", "--force", PASSED)
