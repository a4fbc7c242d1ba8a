"""The configuration that follows the routes, as text; what HAProxy makes of it is in tests/contract. Names in a LAN."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import haproxy, haproxy_admin, lan_access, listening
from sandbox.components.edge.haproxy_admin import Server
from sandbox.components.edge.lan_access import Access, access, warning
from sandbox.components.edge.listening import Place
from sandbox.components.edge.route import Forward, Host, Port, RegistryRoute, Route
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Bind
from sandbox.names import Names


def route(name: str, *hosts: Host, domain: str = "", aliases: tuple[str, ...] = ()) -> Route:
    listen = (("127.0.0.1", 443),)
    domain = domain or f"{name}.sandbox.localhost"
    return Route(name, domain, f"sandbox-{name}-control-plane", listen, 1.0, hosts=hosts, aliases=aliases)


def render(routes: Sequence[Route], *registries: RegistryRoute, host: bool = True) -> Mapping[str, str]:
    return haproxy.render(routes, registries, Place(host, user=1000 if host else None))


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


@pytest.mark.parametrize(("host", "machine"), [(True, "127.0.0.1"), (False, "host.docker.internal")])
def test_cluster_that_is_forwarded_is_reached_by_ports_of_this_machine(host: bool, machine: str) -> None:
    forwards = (
        Forward("ingress", "service/ingress", "443", "ns", "/kubeconfig"),
        Forward("shop/db:5432", "service/db", "5432", "shop", "/kubeconfig"),
    )
    asked = replace(route("a"), upstream="", proxied=False, forwards=forwards, ports=(DB,))
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


def test_hosts_and_aliases_route_to_the_cluster_or_outside() -> None:
    here, there = Host("x.a.test", terminate=True, to="localhost:3000"), Host("b.test", terminate=True, to="web.lan:80")
    hosts = (here, there, Host("one.test", terminate=True), Host("passed.test"))
    found = render([route("a", *hosts, domain="a.test", aliases=("a.lan",))])
    ends = haproxy.LOOP
    # The first that fits wins, so the most specific has to come first.
    assert lines(found["hosts.map"]) == [
        ["^.passed.test", "a"],
        *(["^." + host, ends] for host in ("one.test", "x.a.test", "b.test")),
        [".a.test", "a"],
        [".a.lan", ends],
    ]
    assert dict(lines(found["terminate.map"])) == {
        ".a.lan": "a:http",
        "^.one.test": "a:http",
        "^.x.a.test": "to:x.a.test",
        "^.x.a.lan": "to:x.a.test",
        "^.b.test": "to:b.test",
    }
    assert found["certs.list"].split() == ["/etc/edge/keys/a.pem"]
    assert found["haproxy.cfg"].count("replace-header Host") == 3, "for the ingress and for either server"
    elsewhere = render([route("a", here, there)], host=False)
    for files, machine in ((found, "127.0.0.1"), (elsewhere, "host.docker.internal")):
        servers = [line[2] for line in lines(files["haproxy.cfg"]) if line[:2] == ["server", "outside"]]
        assert servers == [f"{machine}:3000", "web.lan:80"]


def test_edge_that_hangs_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy_admin, "TIMEOUT", 0.05)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        server.listen()
        with pytest.raises(haproxy_admin.Unreachable):
            haproxy_admin.Control(Path("s")).ask("show proc")


DB = Port(5432, "shop/db:5432")
BOTH = Place(host=True, ipv6=True)
ROUTE = Route(
    "demo", "demo.test", "one", (("127.0.0.1", 443),), replicas=("two",), ports=(DB,), node_ports=((DB.to, 30123),)
)


def section(text: str, name: str) -> list[str]:
    sections = (block.splitlines() for block in text.strip().split("\n\n"))
    return next([line.strip() for line in lines] for first, *lines in sections if first == name)


@pytest.mark.parametrize("proxy", [True, False])
def test_port_leads_to_the_node_port_of_every_node(proxy: bool) -> None:
    text = haproxy.render([replace(ROUTE, ports=(replace(DB, proxy=proxy),))], (), BOTH)["haproxy.cfg"]
    assert section(text, "frontend tcp:demo:5432")[:2] == ["bind 127.0.0.1:5432", "bind [::1]:5432 v6only"]
    servers = [line for line in section(text, "backend tcp:demo:5432") if line.startswith("server")]
    assert [line.split()[1:3] for line in servers] == [["node", "one:30123"], ["node1", "two:30123"]]
    # Some servers shut out clients that connect and say nothing.
    assert not any("check" in line for line in servers)
    assert all(("send-proxy-v2" in line) is proxy for line in servers)


def test_host_of_tls_is_routed_to_its_service_by_name() -> None:
    named = replace(ROUTE, ports=(replace(DB, port=443, host="db.demo.test"),))
    files = haproxy.render([named], (), BOTH)
    assert "^.db.demo.test tcp:demo:db.demo.test" in files["hosts.map"].splitlines()
    backend = section(files["haproxy.cfg"], "backend tcp:demo:db.demo.test")
    assert [line.split()[2] for line in backend if "server" in line] == ["one:30123", "two:30123"]
    assert "frontend tcp:" not in files["haproxy.cfg"]


def test_everywhere_has_every_address_and_loopbacks_are_not_opened_again() -> None:
    everywhere = replace(ROUTE, listen=(("0.0.0.0", 443),), ports=())  # noqa: S104
    opened = {listening.HTTPS: (Bind("0.0.0.0", 443), Bind("::1", 443))}  # noqa: S104
    assert listening.frontends((everywhere,), (), BOTH) == opened


HERE = "demo.192.168.1.5.nip.io"


def spec(**proxy: object) -> ResolvedSpec:
    return ResolvedSpec.model_validate({"name": "demo", "edge": {"ports": (8443,), **proxy}})


def test_lan_names_are_those_the_ca_may_sign(names: Names) -> None:
    keystore, wanted = Keystore(names.keys), spec(listen="192.168.1.5")
    assert access(wanted, keystore) == Access((HERE,))
    keystore.authority(["demo.test"], now=datetime.now(UTC))
    found = access(wanted, keystore)
    assert found == Access((), (HERE,))
    assert f"no certificate for {HERE}, sandbox certs renew --root makes" in warning(found, wanted)
    keystore.renew(["demo.test", HERE], {}, now=datetime.now(UTC), root=True)
    found = access(wanted, keystore)
    assert found == Access((HERE,))
    assert warning(found, wanted) == "open to this machine's networks: 192.168.1.5, port 8443"
    assert warning(found, spec()) == ""


EVERY = (HERE, "demo.10.0.0.7.nip.io")


@pytest.mark.parametrize(
    ("listen", "domains"),
    [("127.0.0.1", ()), ("::1", ()), ("192.168.1.5", (HERE,)), ("2001:db8::5", ()), ("0.0.0.0", EVERY), ("::", EVERY)],  # noqa: S104
)
def test_listener_outside_loopback_has_a_domain_for_each_address(
    listen: str, domains: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.system.host_network.lan_addresses", lambda: ("192.168.1.5", "10.0.0.7"))
    assert lan_access.domains("demo", listen) == domains
