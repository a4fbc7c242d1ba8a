"""Where a sandbox is reached, from routes and the hosts that its cluster names."""

from __future__ import annotations

import pytest

from sandbox.app import context
from sandbox.app.views import overview
from sandbox.components.edge import routes
from sandbox.components.edge.route import Host, Port, Route
from sandbox.components.ingress import served_hosts
from sandbox.errors import UsageError

HOSTS = ("a.demo.test", "bank.example", "x\n6.6.6.6 y", "xdemo.test", "demo.test")


@pytest.fixture(autouse=True)
def route(monkeypatch: pytest.MonkeyPatch) -> Route:
    """The route of a sandbox whose cluster names HOSTS."""
    tls = Port(8443, "shop/db:5432", host="db.demo.test")
    route = Route("demo", "demo.test", "node", (("127.0.0.1", 8443),), hosts=(Host("api.example"),), ports=(tls,))
    routes.save(context.home().edge, route)
    monkeypatch.setattr(overview, "Cluster", lambda _: None)
    monkeypatch.setattr(served_hosts, "ingresses", lambda *_, **__: ())
    monkeypatch.setattr(served_hosts, "hosts_of", lambda _: HOSTS)
    return route


def test_hosts_of_other_domains_and_names_that_are_no_hosts_are_told_apart() -> None:
    """What a cluster says is data: a line break in a host would be a line of its own in the hosts file."""
    answered = overview.answered_hosts("demo")
    own = {"a.demo.test", "api.example", "demo.test", "db.demo.test"}
    assert set(answered.hosts) == own | {"bank.example", "xdemo.test"}
    assert answered.others == ("bank.example", "xdemo.test") and answered.address == "127.0.0.1"


def test_host_that_nothing_routes_has_no_url() -> None:
    urls = overview.host_urls("demo", None, for_others=False)
    assert {"https://a.demo.test:8443/", "https://api.example:8443/"} <= set(urls)
    assert overview.host_urls("demo", "api.example", for_others=False) == ("https://api.example:8443/",)
    for host in ("bank.example", "xdemo.test"):
        assert f"https://{host}:8443/" not in urls
        with pytest.raises(UsageError, match=f"does not route {host}") as caught:
            overview.host_urls("demo", host, for_others=False)
        assert caught.value.details == "it routes *.demo.test, api.example"
