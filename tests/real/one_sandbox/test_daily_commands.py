"""`logs`, `exec` and `restart` against a running sandbox."""

from __future__ import annotations

import pytest

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
