"""Where a sandbox is reached, from routes and the hosts that its cluster names."""

from __future__ import annotations

import pytest

from sandbox.app.views import overview
from sandbox.components.edge.route import Host, Port, Route
from sandbox.errors import UsageError


def test_hosts_of_other_domains_and_what_is_no_host_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a cluster says is data: a line break in a host would be a line of its own in the hosts file."""
    route = Route("demo", "demo.test", "node", listen=(("127.0.0.1", 443),), hosts=(Host("api.example"),))
    named = ("a.demo.test", "api.example", "bank.example", "x\n6.6.6.6 y", "xdemo.test", "demo.test")
    monkeypatch.setattr(overview, "_route", lambda home, name: route)
    monkeypatch.setattr(overview, "_hosts", lambda home, route: named)
    found = overview.answered_hosts("demo")
    assert found.hosts == ("a.demo.test", "api.example", "bank.example", "xdemo.test", "demo.test")
    assert found.others == ("bank.example", "xdemo.test") and found.address == "127.0.0.1"


def test_hosts_of_tls_by_name_are_answered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database's client asks the system for its host, as browsers do not."""
    tls = Port(443, "shop/db:5432", host="db.demo.test")
    route = Route("demo", "demo.test", "node", listen=(("127.0.0.1", 443),), ports=(tls,))
    monkeypatch.setattr(overview, "_route", lambda home, name: route)
    monkeypatch.setattr(overview, "_hosts", lambda home, route: ("a.demo.test",))
    found = overview.answered_hosts("demo")
    assert (found.hosts, found.others) == (("a.demo.test", "db.demo.test"), ())


def test_host_that_nothing_routes_has_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    route = Route("demo", "demo.test", "node", listen=(("127.0.0.1", 8443),), hosts=(Host("api.example"),))
    monkeypatch.setattr(overview, "_route", lambda home, name: route)
    monkeypatch.setattr(overview, "_hosts", lambda home, route: ("a.demo.test", "api.example", "bank.example"))
    both = ("https://a.demo.test:8443/", "https://api.example:8443/")
    assert overview.host_urls("demo", None, for_others=False) == both
    for host, url in zip(("a.demo.test", "api.example"), both, strict=True):
        assert overview.host_urls("demo", host, for_others=False) == (url,)
    for host in ("bank.example", "xdemo.test"):
        with pytest.raises(UsageError, match=f"does not route {host}") as caught:
            overview.host_urls("demo", host, for_others=False)
        assert caught.value.details == "it routes *.demo.test, api.example"
