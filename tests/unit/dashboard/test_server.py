"""The page's server, asked by real HTTP: who gets what, and with which headers."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from sandbox.dashboard.server import ASSETS, Dashboard
from sandbox.errors import SandboxError

STATE = {"sandboxes": [{"name": "demo"}]}


@pytest.fixture
def page() -> Iterator[Dashboard]:
    dashboard = Dashboard(lambda: STATE)
    thread = threading.Thread(target=dashboard.serve)
    thread.start()
    yield dashboard
    dashboard.close()
    thread.join(10)
    assert not thread.is_alive()


def ask(page: Dashboard, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    parts = urlsplit(page.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_address_is_loopback_and_token_is_in_the_fragment(page: Dashboard) -> None:
    parts = urlsplit(page.url)
    assert parts.hostname == "127.0.0.1"
    assert parts.fragment == page.token
    assert len(page.token) >= 32
    assert (parts.query, parts.path) == ("", "/")


@pytest.mark.parametrize("path", ASSETS)
def test_assets_need_no_token_and_allow_no_foreign_content(page: Dashboard, path: str) -> None:
    answer, body = ask(page, path)
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in answer.headers
    text = body.decode()
    assert page.token not in text
    assert "http://" not in text
    assert "https://" not in text


def test_state_needs_the_token(page: Dashboard) -> None:
    answer, body = ask(page, "/state", Authorization=f"Bearer {page.token}")
    assert (answer.status, json.loads(body)) == (200, STATE)
    for given in ({}, {"Authorization": "Bearer x"}, {"Authorization": page.token}, {"Authorization": "Bearer ü"}):
        answer, body = ask(page, "/state", **{key: value.encode().decode("latin-1") for key, value in given.items()})
        assert answer.status == 401
        assert b"demo" not in body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1"])
def test_foreign_host_header_is_refused(page: Dashboard, host: str) -> None:
    answer, body = ask(page, "/state", Host=host, Authorization=f"Bearer {page.token}")
    assert answer.status == 421
    assert b"demo" not in body


@pytest.mark.parametrize("path", ["/page.html", "/../server.py", "/%2e%2e/server.py", "/state/", "/?x"])
def test_other_paths_are_not_served(page: Dashboard, path: str) -> None:
    assert ask(page, path, Authorization=f"Bearer {page.token}")[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_changing_methods_are_refused(page: Dashboard, method: str) -> None:
    assert ask(page, "/state", method, Authorization=f"Bearer {page.token}")[0].status == 501


def test_a_port_that_is_taken_is_said(page: Dashboard) -> None:
    port = urlsplit(page.url).port
    assert port
    with pytest.raises(SandboxError, match=f"port {port}"):
        Dashboard(lambda: STATE, port=port)
