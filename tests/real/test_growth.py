"""A running sandbox of one node gets more: its own pods, which asked the API server of their node, are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.names import SYSTEM_NAMESPACE
from tests.real.application import Application

pytestmark = [pytest.mark.real, pytest.mark.nightly]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Application]:
    made = Application.free("test-growth", tmp_path)
    try:
        made.write()
        made.command("up")
        yield made
    finally:
        made.command("down", "--purge", status=None)


def test_lone_node_gets_another_that_serves_too(app: Application) -> None:
    assert app.page() == "first"
    app.write(cluster={"nodes": 2})
    app.command("up")
    assert app.page() == "first"
    found = app.kubectl("-n", SYSTEM_NAMESPACE, "get", "pods", "-l", "app=traefik", "-o", "wide", "--no-headers")
    assert [line.split()[1:3] for line in found.splitlines()] == [["2/2", "Running"]] * 2
    assert {f"{app.names.node}", f"{app.names.cluster}-worker"} == {line.split()[6] for line in found.splitlines()}
    assert app.command("up", "--plan").out == ""
