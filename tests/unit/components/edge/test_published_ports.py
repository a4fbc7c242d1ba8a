"""Which ports the edge publishes for the routes of all sandboxes."""

from __future__ import annotations

from sandbox.components.edge import haproxy, published_ports
from sandbox.components.edge.route import Route
from sandbox.engine import Bind


def route(name: str, *listen: tuple[str, int]) -> Route:
    return Route(name, f"{name}.test", "node", listen, 1.0)


def test_ports_open_to_other_machines_have_their_own_mapping() -> None:
    known = [route("a", ("127.0.0.1", 443), ("::1", 443)), route("b", ("192.168.1.5", 8443), ("127.0.0.1", 443))]
    assert published_ports.published(known) == {
        haproxy.PORT: (
            Bind("127.0.0.1", 443),
            Bind("127.0.0.1", 8443),
            Bind("::1", 443),
            Bind("::1", 8443),
        ),
        haproxy.OPEN_PORT: (Bind("192.168.1.5", 8443),),
    }


def test_single_loopback_address_is_the_only_one_bound() -> None:
    assert published_ports.published([route("a", ("127.0.0.2", 443))]) == {haproxy.PORT: (Bind("127.0.0.2", 443),)}


def test_listener_on_all_addresses_serves_single_ones_too() -> None:
    known = [route("a", ("127.0.0.1", 443), ("127.0.0.1", 8443)), route("b", ("0.0.0.0", 443))]  # noqa: S104
    assert published_ports.published(known) == {
        haproxy.PORT: (Bind("127.0.0.1", 8443), Bind("::1", 443), Bind("::1", 8443)),
        haproxy.OPEN_PORT: (Bind("0.0.0.0", 443),),  # noqa: S104
    }
