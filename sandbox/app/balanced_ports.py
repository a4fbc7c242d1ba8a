"""Routes ports of this machine to Services of type LoadBalancer, where container addresses cannot be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sandbox.app import edge_ports, service_places
from sandbox.components.edge import container_reach, routes
from sandbox.components.edge.route import Port, Route
from sandbox.engine import Engine
from sandbox.kube.api import ClusterError
from sandbox.names import Home


def follow(home: Home, engine: Engine, name: str, say: Callable[[str], None]) -> None:
    """Add such ports for the sandbox `name`, and remove those whose Service is gone. Raises SandboxError.

    Each is the Service's own port or the next free one, and stays the same from then on. The caller holds the lock.
    """
    route = routes.find(routes.load(home.edge), name)
    if route is None:
        return
    before = [one for one in route.added_ports if one.balanced]
    reached = container_reach.are_reached(engine, home.sandbox(name), route.network)
    try:
        wanted = [] if reached else list(_wanted(route, home))
    except ClusterError:  # not known now, which does not mean that they are gone
        return
    gone = [one for one in before if one.to not in {each.to for each in wanted}]
    there = {one.to for one in route.every_port if not one.host}
    new = [one for one in wanted if one.to not in there]
    if not gone and not new:
        return
    for one in gone:
        routes.remove_port(home.edge, name, one.port)
    _add(home, engine, name, new)
    edge_ports.take_in(home, engine, name, say)


def _wanted(route: Route, home: Home) -> Iterator[Port]:
    for service in service_places.load_balancers(route, home):
        for number, _, protocol in (one.partition("/") for one in service.ports):
            if protocol == "tcp":
                yield Port(0, f"{service.service}:{number}", balanced=True)


def _add(home: Home, engine: Engine, name: str, new: Sequence[Port]) -> None:
    """Add each at a port of this machine."""
    for one in new:
        route = routes.find(routes.load(home.edge), name)
        if route is None:
            return
        edge_ports.choose(home, engine, route, None, one)
