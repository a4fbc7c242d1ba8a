"""Which way a request takes: what is asked, and what the edge's maps make of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.components.edge import routes
from sandbox.components.edge.route import Host, Port, Route
from sandbox.doctor.tls.tls_context import RequestTrace, choose, parse
from sandbox.errors import UsageError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("App.Demo.test", "app.demo.test", None),
        ("app.demo.test:8443", "app.demo.test", 8443),
        ("https://app.demo.test:8443/path?a=b:c", "app.demo.test", 8443),
        ("https://app.demo.test/", "app.demo.test", None),
        ("http://app.demo.test", "app.demo.test", None),
        ("HTTPS://app.demo.test?next=https://b.test:1/", "app.demo.test", None),
        ("127.0.0.1:443", "127.0.0.1", 443),
    ],
)
def test_target_is_parsed(text: str, host: str, port: int | None) -> None:
    assert parse(text) == (host, port)


@pytest.mark.parametrize("text", ["", "a_b.test", "a.test:", "a.test:x", "a.test:0", "a.test:65536", "a.test:²", "-rf"])
def test_invalid_host_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def route(name: str, domain: str, since: float) -> Route:
    return Route(name, domain, f"node-{name}", (("127.0.0.1", 443),), since)


@pytest.mark.parametrize(
    ("host", "name", "by"),
    [
        ("a.test", "a", "exact"),
        ("x.a.test", "a", "suffix"),
        ("x.b.a.test", "b", "suffix"),
        ("b.a.test", "b", "exact"),
        ("xa.test", "c", "default"),
    ],
)
def test_the_route_is_the_one_that_haproxy_takes(host: str, name: str, by: str) -> None:
    known = (route("a", "a.test", 1), route("b", "b.a.test", 2), route("c", "c.test", 3))
    found = choose(known, host)
    assert found is not None and (found.route.name, found.by) == (name, by)


def test_hosts_and_aliases_of_a_sandbox_have_its_route() -> None:
    """`edge route add` and `edge.tls` name hosts in and outside of the domain; an open edge has other domains."""
    mine = replace(
        route("a", "a.test", 1),
        hosts=(Host("api.example.test", True, "localhost:3000"),),
        aliases=("a.10.0.0.1.nip.io",),
        ports=(Port(443, "shop/db:5432", host="db.a.test"),),
    )
    known = (mine, route("b", "b.test", 2))
    for host, by, name in (
        ("api.example.test", "exact", "api.example.test"),
        ("db.a.test", "exact", "db.a.test"),
        ("x.a.10.0.0.1.nip.io", "suffix", "a.10.0.0.1.nip.io"),
    ):
        found = choose(known, host)
        assert found is not None and (found.route.name, found.by, found.name) == ("a", by, name)


def test_without_routes_there_is_none() -> None:
    assert choose((), "a.test") is None


def test_the_sandbox_that_is_reached_is_the_one_that_fixes_name(trace: RequestTrace) -> None:
    assert trace.which == " -n demo"
    routes.save(trace.context.home.edge, route("other", "other.test", 2))
    assert replace(trace, host="x.other.test").which == " -n other"


def test_listener_on_all_addresses_is_probed_on_loopback(trace: RequestTrace) -> None:
    everywhere = replace(route("demo", "demo.sandbox.localhost", 1), listen=(("0.0.0.0", 443),))  # noqa: S104
    routes.save(trace.context.home.edge, everywhere)
    assert (trace.address, trace.port) == ("127.0.0.1", 443)
