"""The page's server, asked by real HTTP: who gets what, and with which headers."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from sandbox.dashboard.server import ASSETS, Dashboard
from sandbox.errors import SandboxError

STATE = {"sandboxes": [{"name": "demo"}]}


def restarted(sandbox: str, name: str) -> str:
    if sandbox != "demo":
        raise SandboxError(f"there is no sandbox {sandbox!r}")
    return f"{name} was restarted"


@pytest.fixture
def page() -> Iterator[Dashboard]:
    dashboard = Dashboard({"state": lambda: STATE, "broken": lambda: 1 / 0}, {"restart": restarted})
    thread = threading.Thread(target=dashboard.serve)
    thread.start()
    yield dashboard
    dashboard.shutdown()
    thread.join(10)
    assert not thread.is_alive()


def ask(
    page: Dashboard, path: str, method: str = "GET", body: str = "", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    parts = urlsplit(page.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request(method, path, body, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_address_is_loopback_and_token_is_in_the_fragment(page: Dashboard) -> None:
    assert re.fullmatch(rf"http://127\.0\.0\.1:\d+/#{page.token}", page.url) and len(page.token) >= 32


@pytest.mark.parametrize("path", ASSETS)
def test_assets_need_no_token_and_allow_no_foreign_content(page: Dashboard, path: str) -> None:
    answer, body = ask(page, path)
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert [text for text in (page.token, "http://", "https://") if text in body.decode()] == []


def test_state_needs_the_token_and_the_servers_own_host(page: Dashboard) -> None:
    token = f"Bearer {page.token}"
    answer, body = ask(page, "/state", Authorization=token)
    assert (answer.status, json.loads(body)) == (200, STATE)
    for given in ("", "Bearer x", page.token, "Bearer ü".encode().decode("latin-1")):
        answer, body = ask(page, "/state", Authorization=given)
        assert answer.status == 401 and b"demo" not in body
    for host in ("evil.example", "evil.example:80", "127.0.0.1"):
        answer, body = ask(page, "/state", Host=host, Authorization=token)
        assert answer.status == 421 and b"demo" not in body
    for path in ("/page.html", "/../server.py", "/%2e%2e/server.py", "/state/", "/?x"):
        assert ask(page, path, Authorization=token)[0].status == 404
    for method in ("PUT", "DELETE", "OPTIONS"):
        assert ask(page, "/state", method, Authorization=token)[0].status == 501


def test_part_that_fails_says_why(page: Dashboard) -> None:
    answer, body = ask(page, "/broken", Authorization=f"Bearer {page.token}")
    assert (answer.status, json.loads(body)) == (200, {"error": "division by zero"})


BODY = json.dumps({"sandbox": "demo", "name": "shop/deployment/web"})


def post(page: Dashboard, path: str = "/restart", body: str = BODY, **headers: str) -> tuple[int, str]:
    """What a script of the page gets; a header that is empty is left out."""
    own = {"Authorization": f"Bearer {page.token}", "Origin": page.url.partition("/#")[0], **headers}
    answer, content = ask(page, path, "POST", body, **{key: value for key, value in own.items() if value})
    return answer.status, content.decode()


def test_action_is_done_for_the_page(page: Dashboard) -> None:
    assert post(page) == (200, "shop/deployment/web was restarted")
    assert post(page, Origin=f"http://localhost:{urlsplit(page.url).port}")[0] == 200
    assert post(page, body='{"sandbox": "x", "name": ""}') == (409, "there is no sandbox 'x'\n")


@pytest.mark.security(6)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": ""}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer x"}, 401),
        ({"Host": "evil.example"}, 421),
    ],
)
def test_action_is_refused_to_other_pages(page: Dashboard, headers: dict[str, str], status: int) -> None:
    """A web page posts to the dashboard's port, without the token or from its own origin → nothing is done."""
    assert post(page, **headers)[0] == status


@pytest.mark.parametrize("body", ["", "[]", "{", '{"sandbox": "demo"}', '"x"', "9" * 5000])
def test_request_that_is_no_action_is_refused(page: Dashboard, body: str) -> None:
    assert post(page, body=body)[0] == 400
    assert post(page, "/delete")[0] == 404


def test_a_port_that_is_taken_is_said(page: Dashboard) -> None:
    port = urlsplit(page.url).port
    assert port
    with pytest.raises(SandboxError, match=f"port {port}"):
        Dashboard({}, {}, port=port)
