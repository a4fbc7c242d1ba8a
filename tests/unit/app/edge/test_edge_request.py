"""A request through the edge: to the edge's address, for the host and path of the URL, by the context's roots."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.app.edge import edge_request
from sandbox.components.certificates.authority import make_self_signed
from tests.support.http_server import Handler, answering
from tests.support.tls import presenting

HOST = "app.demo.test"


class Echo(Handler):
    """Answers with the host and the path that it was asked for."""

    def do_GET(self) -> None:  # the base class's name
        self.reply(200, f"{self.headers['Host']} {self.path}".encode())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[int, ssl.SSLContext]]:
    """The port of a server for HOST, and a context that trusts it."""
    pair = make_self_signed(HOST, now=datetime.now(UTC))
    with answering(Echo, presenting(pair, tmp_path)) as server:
        yield server.server_port, ssl.create_default_context(cadata=pair.cert_pem.decode())


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/a/b?c=1", "/a/b?c=1"),
        ("", "/"),
        ("?c=1", "/?c=1"),
        ("/ä b?c=ä%20b", "/%C3%A4%20b?c=%C3%A4%20b"),
        ("/a#part", "/a"),
        ("/a;b=1,2/@c", "/a;b=1,2/@c"),
    ],
)
def test_the_url_s_host_is_asked_for_its_path(served: tuple[int, ssl.SSLContext], path: str, asked: str) -> None:
    port, context = served
    answer = edge_request.send(f"https://{HOST}:{port}{path}", "127.0.0.1", context)
    assert (answer.status, answer.read().decode()) == (200, f"{HOST}:{port} {asked}")


def test_a_server_that_is_not_trusted_is_an_error(served: tuple[int, ssl.SSLContext]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        edge_request.send(f"https://{HOST}:{served[0]}/", "127.0.0.1", ssl.create_default_context())
