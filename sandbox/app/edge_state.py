"""Reads the state of this user's edge, a container, a process, or both: whether it runs, its ports, its routes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sandbox.components.edge import routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.haproxy_admin import Server, Unreachable
from sandbox.components.edge.published_ports import serves, surplus
from sandbox.components.edge.relay import Relay
from sandbox.components.edge.route import Route
from sandbox.components.edge.route_status import RouteStatus, route_statuses
from sandbox.engine import Bind, Engine
from sandbox.names import Home


@dataclass(frozen=True, kw_only=True)
class EdgeState:
    """The edge as it is now; `unasked` are ports that no spec asks for any more, `answers` is for its admin socket."""

    running: bool
    answers: bool
    listens: Sequence[Bind]
    unasked: Collection[Bind]
    routes: Sequence[RouteStatus]


def read(home: Home, engine: Engine) -> EdgeState:
    """Return the state of the edge. Raises SandboxError."""
    edge = EdgeContainer.of(engine, home)
    known, relayed = routes.load(home.edge), routes.load(home.relay)
    relay = Relay(home).listening if relayed else None
    container = edge.find()
    running = container is not None and container.running
    parts = [relay is not None] if relayed else []
    if known or not relayed:  # without any route too, the edge is its container
        parts.append(running)
    servers = _servers(edge) if running else None
    statuses = route_statuses(routes.merged(known, routes.load_added(home.edge)), servers or ())
    binds = {*(serves(container) if container else ()), *(Bind(*one) for one in relay or ())}
    return EdgeState(
        running=all(parts),
        answers=servers is not None or not running,
        listens=sorted(binds),
        unasked=surplus(container, known) if container else (),
        routes=(*statuses, *map(_relayed, relayed)),
    )


def _servers(edge: EdgeContainer) -> Sequence[Server] | None:
    try:
        return edge.control.servers()
    except Unreachable:
        return None


def _relayed(route: Route) -> RouteStatus:
    """Return the status of a route of the process, which does not count."""
    (status,) = route_statuses((replace(route, hosts=(), aliases=()),), ())
    return replace(status, upstreams=(Relay.shown(route),))
