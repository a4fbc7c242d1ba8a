"""Routes that commands add to the edge."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sandbox.app import edge_routes
from sandbox.components.edge import haproxy_admin
from sandbox.components.edge.container import EdgeContainer
from sandbox.engine import Engine


def test_host_that_is_removed_meanwhile_has_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by another command, while this one waits for the edge to check the server."""
    control = SimpleNamespace(servers=tuple[haproxy_admin.Server, ...])
    monkeypatch.setattr(Engine, "connect", lambda: None)
    monkeypatch.setattr(EdgeContainer, "of", lambda *_: SimpleNamespace(control=control))
    assert edge_routes.trouble("gone.demo.sandbox.localhost") is None
