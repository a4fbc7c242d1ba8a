"""The edge's routes as files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.components.edge import routes
from sandbox.components.edge.route import AddedRoute, Host, Port, Route
from sandbox.errors import SandboxError, UsageError


def route(name: str, since: float = 1.0, domain: str = "") -> Route:
    listen = (("127.0.0.1", 443), ("0.0.0.0", 8443))  # noqa: S104
    return Route(name, domain or f"{name}.sandbox.localhost", f"sandbox-{name}-control-plane", listen, since)


def test_routes_come_back_as_they_were_saved_oldest_first(tmp_path: Path) -> None:
    hosts = (Host("a.test"), Host("b.test", terminate=True), Host("c.test", terminate=True, to="localhost:3000"))
    full = replace(route("a", 3.0), replicas=("two", "10.0.0.3:8443"), hosts=hosts, aliases=("a.nip.io",))
    saved = [full, route("b", 1.5), route("c", 2.0)]
    for item in saved:
        routes.save(tmp_path, item)
    assert routes.load(tmp_path) == (saved[1], saved[2], saved[0])
    assert full.nodes == ("sandbox-a-control-plane:443", "two:443", "10.0.0.3:8443")
    assert [item.ending for item in saved[:2]] == [("*.a.nip.io", "a.nip.io", "b.test", "c.test"), ()]
    assert full.leaving == ("c.test",)


@pytest.mark.fault(59)
@pytest.mark.parametrize("text", ["", "[]", '{"name": 5}', '{"host": null, "port": "x"}'])
@pytest.mark.parametrize("place", ["", "ports/", "by-hand/", "registries/"])
def test_a_damaged_route_is_named_with_the_command_that_removes_it(tmp_path: Path, place: str, text: str) -> None:
    """A damaged file of a route, or a field of another type → named, with what removes it."""
    routes.save(tmp_path, route("b"))
    path = tmp_path / "routes" / f"{place}a.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(SandboxError) as caught:
        routes.REGISTRIES.load(tmp_path) if "reg" in place else routes.load(tmp_path)
    assert (caught.value.id, caught.value.fix) == ("route", f"rm -r {path}, then sandbox up")


def claims(name: str, domain: str, *hosts: str, alias: str = "") -> Route:
    return replace(route(name, domain=domain), hosts=tuple(map(Host, hosts)), aliases=(alias,) if alias else ())


def named(name: str, host: str) -> Route:
    return replace(route(name), ports=(Port(443, "shop/db:5432", host=host),))


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (claims("a", "x.test"), claims("b", "x.test")),
        (claims("a", "a.test", "shop.b.test"), claims("b", "b.test")),
        (claims("a", "a.test"), claims("b", "b.test", "shop.a.test")),
        (claims("a", "a.test", alias="a.1.2.3.4.nip.io"), claims("b", "a.1.2.3.4.nip.io")),
        (claims("a", "x.test", "shop.dev.x.test"), claims("b", "dev.x.test")),
        (named("a", "db.test"), claims("b", "b.test", "db.test")),
        (claims("a", "a.test"), named("b", "db.a.test")),
    ],
)
def test_a_name_of_another_sandbox_is_refused_by_its_name(mine: Route, theirs: Route) -> None:
    with pytest.raises(UsageError, match="belongs to the sandbox 'b'") as caught:
        routes.require_unclaimed(mine, [mine, theirs])
    assert (caught.value.id, caught.value.fix.count("sandbox down b")) == ("domain-taken", 1)


@pytest.mark.parametrize("place", ["", "ports", "by-hand"])
def test_file_that_goes_while_it_is_read_is_none(tmp_path: Path, place: str) -> None:
    routes.save(tmp_path, route("kept"))
    (tmp_path / "routes" / place).mkdir(exist_ok=True)
    (tmp_path / "routes" / place / "gone.json").symlink_to(tmp_path / "nothing")
    assert [item.name for item in routes.load(tmp_path)] == ["kept"]
    assert not routes.ADDED_PORTS.load(tmp_path) and not routes.ADDED_HOSTS.load(tmp_path)


def test_domains_may_be_nested_and_the_longer_one_has_a_host() -> None:
    outer, inner = claims("a", "x.test", "shop.x.test"), claims("b", "dev.x.test", "shop.dev.x.test", "free.test")
    routes.require_unclaimed(outer, [inner])
    routes.require_unclaimed(inner, [outer])


def test_ports_and_hosts_that_commands_added_replace_those_of_the_spec(tmp_path: Path) -> None:
    ports = (Port(5432, "shop/db:5432"), Port(6379, "shop/cache:6379"))
    hosts = (Host("app.a.test"), Host("z.a.test", terminate=True))
    routes.save(tmp_path, replace(route("a"), ports=ports, hosts=hosts))
    port = Port(5432, "other/db:5432", proxy=True)
    for sandbox, added in (("a", port), ("another", Port(7000, "x/y:7000"))):
        routes.ADDED_PORTS.save(tmp_path, (sandbox, added))
    for host, sandbox in (("app.a.test", "a"), ("x.a.test", "a"), ("x.b.test", "b")):
        routes.ADDED_HOSTS.save(tmp_path, AddedRoute(host, sandbox, "localhost:3000"))
    routes.ADDED_HOSTS.remove(tmp_path, "x.a.test")
    (found,) = routes.load(tmp_path)
    assert found.every_port == (ports[1], port)
    assert {("127.0.0.1", 5432), ("127.0.0.1", 6379)} < found.takes
    assert found.every_host == (hosts[1], Host("app.a.test", terminate=True, to="localhost:3000"))
    routes.save(tmp_path, found)
    routes.ADDED_PORTS.remove(tmp_path, "a.5432")
    routes.ADDED_HOSTS.remove(tmp_path, "app.a.test")
    (kept,) = routes.load(tmp_path)
    assert (kept.every_port, kept.every_host) == (ports, hosts)
