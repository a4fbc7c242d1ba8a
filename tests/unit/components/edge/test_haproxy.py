"""The configuration that follows the routes, as text; what HAProxy makes of it is in tests/contract."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.components.edge import haproxy, haproxy_admin, haproxy_http
from sandbox.components.edge.haproxy_admin import Server
from sandbox.components.edge.listening import Place
from sandbox.components.edge.route import Forward, Host, Port, RegistryRoute, Route


def route(name: str, *hosts: Host, domain: str = "", aliases: tuple[str, ...] = ()) -> Route:
    listen = (("127.0.0.1", 443),)
    domain = domain or f"{name}.sandbox.localhost"
    return Route(name, domain, f"sandbox-{name}-control-plane", listen, 1.0, hosts=hosts, aliases=aliases)


def render(routes: Sequence[Route], *registries: RegistryRoute, host: bool = True) -> Mapping[str, str]:
    return haproxy.render(routes, registries, Place(host, user=1000 if host else None))


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_maps_route_each_domain_and_subdomain_to_its_backend() -> None:
    files = render([route("a", domain="demo.test"), route("b", domain="deep.demo.test")])
    # The first that fits wins, so the most specific has to come first.
    assert files["hosts.map"].split() == [".deep.demo.test", "b", ".demo.test", "a"]
    for name in "ab":
        assert f"backend {name}\n" in files["haproxy.cfg"]
        assert f"server node sandbox-{name}-control-plane:443 send-proxy-v2 " in files["haproxy.cfg"]


@pytest.mark.parametrize(("host", "machine"), [(True, "127.0.0.1"), (False, "host.docker.internal")])
def test_cluster_that_is_forwarded_is_reached_by_ports_of_this_machine(host: bool, machine: str) -> None:
    forwards = (
        Forward("ingress", "service/ingress", "443", "ns", "/kubeconfig"),
        Forward("shop/db:5432", "service/db", "5432", "shop", "/kubeconfig"),
    )
    asked = replace(route("a"), upstream="", proxied=False, forwards=forwards, ports=(Port(5432, "shop/db:5432"),))
    registry = Forward("registry", "deployment/registry", "5000", "ns", "/kubeconfig")
    text = render([asked], RegistryRoute("a", 5001, forward=registry), host=host)["haproxy.cfg"]
    servers = {line[1]: line[2:4] for line in lines(text) if line[:1] == ["server"]}
    assert servers["node"] == [f"{machine}:{forwards[0].local}", "init-addr"], "kubectl's server gets no PROXY protocol"
    assert servers["forward"] == [f"{machine}:{forwards[1].local}"]
    assert servers["registry"] == [f"{machine}:{registry.local}"]


@pytest.mark.security(8)
def test_registry_is_served_to_programs_of_this_machine_alone() -> None:
    text = render([], RegistryRoute("a", 5001, "10.0.0.2:5000", ("sandbox-a-registry",)))["haproxy.cfg"]
    words = lines(text)
    assert ["bind", "127.0.0.1:5001"] in words and ["server", "registry", "10.0.0.2:5000"] in words
    (hosts,) = (line for line in words if line[:2] == ["acl", "known"])
    assert hosts[5:] == ["localhost", "127.0.0.1", "[::1]", "sandbox-a-registry"]
    assert any(line[-4:] == ["if", "!known", "or", "page"] and "403" in line for line in words)


def test_hosts_of_their_own_are_passed_through_or_end_at_the_edge() -> None:
    before = render([route("a", Host("x.test"))])
    assert "ssl crt" not in before["haproxy.cfg"]
    assert (before["certs.list"], before["terminate.map"]) == ("", "")
    after = render([route("a", Host("one.test", terminate=True), Host("two.test", terminate=True), Host("x.test"))])
    assert dict(lines(after["hosts.map"])) == {
        ".a.sandbox.localhost": "a",
        "^.one.test": haproxy_http.LOOP,
        "^.two.test": haproxy_http.LOOP,
        "^.x.test": "a",
    }
    assert dict(lines(after["terminate.map"])) == {"^.one.test": "a:http", "^.two.test": "a:http"}


def test_host_outside_the_cluster_has_its_own_backend() -> None:
    here, there = Host("a.test", terminate=True, to="localhost:3000"), Host("b.test", terminate=True, to="web.lan:80")
    found = render([route("a", here, there)])
    servers = [line[2] for line in lines(found["haproxy.cfg"]) if line[:2] == ["server", "outside"]]
    assert servers == ["127.0.0.1:3000", "web.lan:80"]
    elsewhere = lines(render([route("a", here)], host=False)["haproxy.cfg"])
    assert [line[2] for line in elsewhere if line[:2] == ["server", "outside"]] == ["host.docker.internal:3000"]
    assert dict(lines(found["terminate.map"])) == {"^.a.test": "to:a.test", "^.b.test": "to:b.test"}
    assert found["certs.list"].split() == ["/etc/edge/keys/a.pem"]


def test_every_route_is_listed_with_its_servers() -> None:
    host = Host("app.test", terminate=True, to="localhost:3000")
    servers = [Server(name, "node", "", "UP", "L4OK", 1, 2, 3, 4) for name in ("a", "to:app.test", "b")]
    found = haproxy_admin.route_statuses([route("a", host, Host("x.test"), aliases=("a.lan",))], servers)
    assert [(way.host, way.mode, way.upstreams, [one.backend for one in way.servers]) for way in found] == [
        ("*.a.sandbox.localhost", "passthrough", ("sandbox-a-control-plane:443",), ["a"]),
        ("*.a.lan", "terminate", ("sandbox-a-control-plane:443",), []),
        ("app.test", "terminate", ("localhost:3000",), ["to:app.test"]),
        ("x.test", "passthrough", ("sandbox-a-control-plane:443",), ["a"]),
    ]


def test_alias_of_an_outside_host_routes_there_too() -> None:
    here, other = Host("x.a.test", terminate=True, to="localhost:1"), Host("b.test", terminate=True, to="localhost:2")
    found = render([route("a", here, other, domain="a.test", aliases=("a.lan",))])
    assert dict(lines(found["terminate.map"])) == {
        ".a.lan": "a:http",
        "^.x.a.test": "to:x.a.test",
        "^.x.a.lan": "to:x.a.test",
        "^.b.test": "to:b.test",
    }
    assert found["haproxy.cfg"].count("replace-header Host") == 3, "for the ingress and for either server"


def test_edge_that_hangs_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy_admin, "TIMEOUT", 0.05)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        server.listen()
        with pytest.raises(haproxy_admin.Unreachable):
            haproxy_admin.Control(Path("s")).ask("show proc")


def test_port_of_another_program_is_an_error_that_names_it() -> None:
    output = "[ALERT] Binding for frontend https: cannot bind socket (Address already in use) for [127.0.0.1:443]."
    error = haproxy_admin.failure("the edge stopped", output)
    assert (error.id, error.brief) == ("port-in-use", "127.0.0.1:443 is taken")
    assert haproxy_admin.failure("the edge stopped", "[ALERT] parsing").id == "stopped"
