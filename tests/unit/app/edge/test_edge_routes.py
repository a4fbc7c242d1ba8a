"""Routes that commands add to the edge."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sandbox.app.edge import edge_routes
from sandbox.components.edge import haproxy_admin
from sandbox.components.edge.container import EdgeContainer
from sandbox.engine import Engine


def test_host_that_is_removed_meanwhile_has_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by another command, while this one waits for the edge to check the server."""
    control = SimpleNamespace(servers=tuple[haproxy_admin.Server, ...])
    monkeypatch.setattr(Engine, "connect", lambda: None)
    monkeypatch.setattr(EdgeContainer, "of", lambda *_: SimpleNamespace(control=control))
    assert edge_routes.trouble("gone.demo.sandbox.localhost") is None


def test_name_that_has_no_address_is_not_told_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without a dot is one of containers; HAProxy has such a server in maintenance."""
    monkeypatch.setattr(edge_routes, "_unanswered", lambda *_: "MAINT")
    trouble = edge_routes.trouble("app.demo.sandbox.localhost")
    assert trouble is not None
    assert trouble.reason == "its name is not known there"
    assert trouble.advice == "name a server on another machine by its address, or by a name with a dot that resolves"


@pytest.mark.parametrize(("shares", "address"), [(True, "127.0.0.1 or 0.0.0.0"), (False, "such as 0.0.0.0")])
def test_address_to_listen_on_is_one_that_the_edge_reaches(
    monkeypatch: pytest.MonkeyPatch, shares: bool, address: str
) -> None:
    monkeypatch.setattr(Engine, "connect", lambda: SimpleNamespace(shares_network=lambda: shares))
    monkeypatch.setattr(edge_routes, "_unanswered", lambda *_: "L4CON")
    trouble = edge_routes.trouble("app.demo.sandbox.localhost")
    assert trouble and trouble.advice.endswith(address)
