"""Where a sandbox is reached, from routes and the hosts that its cluster names."""

from __future__ import annotations

import pytest

from sandbox.app import overview
from sandbox.components.edge.routes import Host, Route


def test_hosts_of_other_domains_and_what_is_no_host_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a cluster says is data: a line break in a host would be a line of its own in the hosts file."""
    route = Route("demo", "demo.test", "node", listen=(("127.0.0.1", 443),), hosts=(Host("api.example"),))
    named = ("a.demo.test", "api.example", "bank.example", "x\n6.6.6.6 y", "xdemo.test", "demo.test")
    monkeypatch.setattr(overview, "_route", lambda home, name: route)
    monkeypatch.setattr(overview, "_hosts", lambda home, route: named)
    found = overview.resolved("demo")
    assert found.hosts == ("a.demo.test", "api.example", "bank.example", "xdemo.test", "demo.test")
    assert found.others == ("bank.example", "xdemo.test") and found.address == "127.0.0.1"
