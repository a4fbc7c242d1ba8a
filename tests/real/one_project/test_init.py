"""A developer's own folder, from its Dockerfile to an HTTPS page, and the dashboard next to it."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.devtools import Tab, tab
from tests.real.machine import tool
from tests.real.one_project.conftest import NAME, Made

pytestmark = pytest.mark.real

HOST = f"app.{NAME}.sandbox.localhost"


def test_a_dockerfile_is_enough_for_an_https_page(made: Made) -> None:
    url = next(line.split()[0] for line in made.said.splitlines() if line.startswith(f"https://{HOST}"))
    port = re.search(r":(\d+)/$", url)
    where = f"{HOST}:{port[1] if port else 443}:127.0.0.1"
    root = made.names.root_certificate
    assert tool("curl", "--silent", "--fail", "--resolve", where, "--cacert", root, url) == "my own page\n"
    assert made.command("up", "--plan").out == ""


@contextmanager
def dashboard(made: Made) -> Iterator[str]:
    """`sandbox dashboard` at work; the address that it printed."""
    with made.command.start("dashboard", err=None) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130


@pytest.fixture(scope="module")
def page(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with dashboard(made) as url, tab(tmp_path_factory.mktemp("browser")) as found:
        found.resize(1280, 900)
        found.open(url)
        yield found


def details(part: str) -> str:
    return f"document.querySelector('details[data-key={json.dumps(f'{NAME}/{part}')}]')"


def test_the_dashboard_shows_what_there_is(page: Tab) -> None:
    assert page.until(f"{details('hosts')}?.querySelector('a')?.textContent") == HOST
    page.until(f"/\\d+ days left/.test({details('hosts')}.innerText)")
    page.until(f"/(\\d+) of \\1 ready/.test({details('steps')}?.innerText)")
    page.until(f"{details('registry')}?.innerText.includes('{NAME}/app:dev')")
    page.until("document.querySelector('.machine')?.innerText.includes('*.own-project.sandbox.localhost')")


def test_dashboard_follows_cluster_and_works_by_click_and_key(page: Tab, made: Made) -> None:
    page.until(f"!!{details('events')}")
    assert page.value(f"{details('events')}.open") is False
    page.click(f'details[data-key="{NAME}/events"] summary')
    assert page.value(f"{details('events')}.open") is True
    page.value("document.activeElement.blur()")
    page.press("j")
    assert page.value("document.activeElement.dataset.focus") == f"{NAME}/hosts"
    page.press("o")
    assert page.value(f"{details('hosts')}.open") is False
    page.press("o")
    rule = {"host": f"new.{NAME}.sandbox.localhost"}
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": {"rules": [rule]}}
    made.cluster.apply({**ingress, "metadata": {"name": "new", "namespace": "default"}})
    page.until(f"{details('hosts')}.innerText.includes({json.dumps(rule['host'])})")
    assert page.value(f"{details('events')}.open") is True  # what was opened stays so
    assert page.value("document.activeElement.dataset.focus") == f"{NAME}/hosts"
    made.cluster.delete("networking.k8s.io/v1", "Ingress", "new", "default")  # no pod answers for it


def test_dashboard_fits_a_phone_and_dark_mode(page: Tab, tmp_path: Path) -> None:
    page.resize(360, 800, dark=True)
    assert page.value("document.documentElement.scrollWidth") <= 360
    red, green, blue = page.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(red, green, blue) < 64
    page.resize(1280, 900)


def test_without_the_token_nothing_is_shown(page: Tab) -> None:
    page.value("location.hash = ''")
    page.call("Page.reload")
    page.until("document.getElementById('status')?.textContent.includes('sandbox dashboard')")
    assert page.value("document.querySelectorAll('details').length") == 0
