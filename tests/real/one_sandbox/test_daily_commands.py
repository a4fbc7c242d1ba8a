"""`logs`, `exec` and `restart`, and the dashboard's, against a running sandbox."""

from __future__ import annotations

import json
import threading
import urllib.request

import pytest

from sandbox.dashboard.page import logs, restart
from sandbox.dashboard.server import Dashboard
from tests.real.application import Application
from tests.real.served import Sandbox

pytestmark = pytest.mark.real


def test_command_runs_in_a_pod_and_its_exit_code_is_kept(up: Application) -> None:
    assert up.command("exec", "app", "--", "sh", "-c", "echo from $HOSTNAME").out.startswith("from app-")
    up.command("exec", "app", "--", "sh", "-c", "exit 7", status=7)


def test_logs_have_what_the_pod_writes_with_its_name(up: Application) -> None:
    up.command("exec", "app", "--", "sh", "-c", "echo a line for the log > /proc/1/fd/1")
    lines = up.command("logs", "app", "--since", "1m").out.splitlines()
    assert any(line.startswith("app-") and line.endswith("| a line for the log") for line in lines)
    assert "a line for the log" in up.command("logs").out


def test_restart_replaces_the_pods_and_waits_for_the_new_ones(up: Application) -> None:
    before = up.kubectl("get", "pods", "--selector", "app=app", "--output", "name")
    up.command("restart", "app")
    Sandbox(up.names, up.ports[0]).serves(f"app.{up.name}.sandbox.localhost")
    assert up.page() == "first"
    assert up.kubectl("get", "pods", "--selector", "app=app", "--output", "name") != before


def test_unknown_workload_is_an_error_with_the_known_ones(up: Application) -> None:
    refused = up.command("logs", "nothing", status=2)
    assert "error[no-workload]" in refused.err and "deployment/app" in refused.err


@pytest.mark.timeout(300)
def test_dashboard_shows_logs_and_restarts_a_workload(up: Application) -> None:
    page = Dashboard({}, {"logs": logs, "restart": restart})
    threading.Thread(target=page.serve, daemon=True).start()

    def post(path: str, name: str) -> str:
        body = json.dumps({"sandbox": up.name, "name": name}).encode()
        headers = {"Authorization": f"Bearer {page.token}", "Origin": page.url.partition("/#")[0]}
        request = urllib.request.Request(  # noqa: S310  # of this test
            page.url.partition("/#")[0] + path, body, headers
        )
        with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310
            return str(answer.read().decode())

    query = ("get", "pods", "--selector", "app=app", "--output", "jsonpath={.items[0].metadata['namespace','name']}")
    before = up.kubectl(*query)
    up.command("exec", "app", "--", "sh", "-c", "echo seen on the page > /proc/1/fd/1")
    assert "seen on the page" in post("/logs", before.strip().replace(" ", "/"))
    assert post("/restart", "app").endswith("deployment/app was restarted and is ready")
    page.shutdown()
    assert up.kubectl(*query) != before
