"""What a sandbox in another user's cluster cannot have is said by the command that was asked for it, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.components.edge import routes
from sandbox.components.edge.route import Forward, Route
from tests.unit.cli.test_main import run

SPEC = "name: demo\ncluster: {provider: existing, context: team}\n"


@pytest.mark.parametrize(
    "command",
    ["stop", "snapshot save", "snapshot restore", "doctor network", "images gc", "addons enable metrics-server"],
)
def test_existing_cluster_is_refused_before_any_prompt(tmp_path: Path, command: str) -> None:
    (tmp_path / "sandbox.yaml").write_text(SPEC)
    found = run(*command.split(), cwd=tmp_path)
    assert found.code == 2, found.stderr
    assert "has an existing cluster" in found.stderr and "docs/existing.md" in found.stderr


def test_outside_host_needs_a_cluster_that_containers_reach(tmp_path: Path) -> None:
    forward = Forward("ingress", "service/ingress", "443", "team", "/kubeconfig")
    route = Route("demo", "demo.sandbox.localhost", "", (("127.0.0.1", 443),), 1.0, forwards=(forward,))
    routes.save(context.home().edge, route)
    found = run("edge", "route", "add", "app.demo.sandbox.localhost", "localhost:3000", cwd=tmp_path)
    assert found.code == 2
    assert "'demo' is reached by kubectl port-forward" in found.stderr and "EndpointSlice" in found.stderr
