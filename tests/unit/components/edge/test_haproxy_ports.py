"""Ports that lead to Services in the edge's configuration, and what the machine listens on for them."""

from __future__ import annotations

from dataclasses import replace

from sandbox.components.edge import haproxy, listening
from sandbox.components.edge.listening import Place
from sandbox.components.edge.route import Port, Route
from sandbox.engine import Bind

DB = Port(5432, "shop/db:5432")
LOCAL = "127.0.0.1"
BOTH = Place(host=True, ipv6=True)
ROUTE = Route(
    "demo", "demo.test", "one", ((LOCAL, 443),), 1.0, ("two",), ports=(DB,), node_ports=(("shop/db:5432", 30123),)
)


def section(text: str, name: str) -> list[str]:
    sections = (block.splitlines() for block in text.strip().split("\n\n"))
    return next([line.strip() for line in lines] for first, *lines in sections if first == name)


def text_of(route: Route, *, host: bool = True) -> str:
    return haproxy.render([route], (), Place(host, ipv6=host))["haproxy.cfg"]


def test_port_leads_to_the_node_port_of_every_node() -> None:
    backend = section(text_of(ROUTE), "backend tcp:demo:5432")
    assert [line.split()[1:3] for line in backend if line.startswith("server")] == [
        ["node", "one:30123"],
        ["node1", "two:30123"],
    ]
    # Some servers shut out clients that connect and say nothing.
    assert not any("check" in line or "send-proxy" in line for line in backend)


def test_server_is_told_of_clients_only_where_that_is_asked_for() -> None:
    proxied = replace(ROUTE, ports=(replace(DB, proxy=True),))
    servers = [line for line in section(text_of(proxied), "backend tcp:demo:5432") if line.startswith("server")]
    assert all("send-proxy-v2" in line for line in servers) and servers


def test_port_of_an_unknown_service_has_no_server() -> None:
    assert section(text_of(replace(ROUTE, node_ports=())), "backend tcp:demo:5432") == []


def test_port_of_the_hosts_network_is_opened_as_asked() -> None:
    text = text_of(ROUTE)
    assert [line for line in section(text, "frontend https") if line.startswith("bind")] == [
        "bind 127.0.0.1:443",
        "bind [::1]:443 v6only",
    ]
    assert section(text, "frontend tcp:demo:5432")[:2] == ["bind 127.0.0.1:5432", "bind [::1]:5432 v6only"]
    alone = haproxy.render([ROUTE], (), Place(host=True))["haproxy.cfg"]
    assert "::1]:" not in alone


def test_published_port_has_a_port_of_the_container_to_itself() -> None:
    both = (ROUTE, replace(ROUTE, name="other", listen=(("127.0.0.2", 443),), address="127.0.0.2"))
    published = listening.published(listening.frontends(both, (), Place(host=False)))
    places = {binds: inner for inner, binds in published.items()}
    assert {(Bind(LOCAL, 5432),), (Bind("127.0.0.2", 5432),)} < places.keys()
    inner = places[(Bind(LOCAL, 5432),)]
    assert section(text_of(ROUTE, host=False), "frontend tcp:demo:5432")[0] == f"bind :{inner}"


def test_host_of_tls_is_routed_to_its_service_by_name() -> None:
    named = replace(ROUTE, ports=(replace(DB, port=443, host="db.demo.test"),))
    for host in (True, False):
        files = haproxy.render([named], (), Place(host, ipv6=host))
        assert "^.db.demo.test tcp:demo:db.demo.test" in files["hosts.map"].splitlines()
        backend = section(files["haproxy.cfg"], "backend tcp:demo:db.demo.test")
        assert [line.split()[2] for line in backend if "server" in line] == ["one:30123", "two:30123"]
        assert "frontend tcp:" not in files["haproxy.cfg"]
    assert listening.frontends((named,), (), BOTH) == listening.frontends((replace(ROUTE, ports=()),), (), BOTH)


def test_everywhere_has_every_address_and_loopbacks_are_not_opened_again() -> None:
    everywhere = replace(ROUTE, listen=(("0.0.0.0", 443),), ports=())  # noqa: S104
    frontends = listening.frontends((everywhere,), (), BOTH)
    assert frontends == {listening.HTTPS: (Bind("0.0.0.0", 443), Bind("::1", 443))}  # noqa: S104
    assert listening.published(frontends) == {
        listening.PORT: (Bind("::1", 443),),
        listening.OPEN_PORT: (Bind("0.0.0.0", 443),),  # noqa: S104
    }
