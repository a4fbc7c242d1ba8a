"""Reads the state of this user's edge: whether it runs, where it listens, its routes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.components.edge import container, routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.haproxy_admin import Server, Unreachable
from sandbox.components.edge.route_status import RouteStatus, route_statuses
from sandbox.engine import Bind, Engine
from sandbox.names import Home
from sandbox.system import interruption

CHECKS, CHECKED_EVERY = 5, 0.3  # HAProxy checks servers that are down every 0.2 seconds


@dataclass(frozen=True, kw_only=True)
class EdgeState:
    """The edge as it is now; `answers` is for its admin socket."""

    running: bool
    answers: bool
    listens: Sequence[Bind]
    routes: Sequence[RouteStatus]


def read(home: Home, engine: Engine) -> EdgeState:
    edge = EdgeContainer.of(engine, home)
    edge_container = edge.find()
    running = edge_container is not None and edge_container.running
    servers = _servers(edge) if running else None
    return EdgeState(
        running=running,
        answers=servers is not None or not running,
        listens=sorted(container.listens(engine, home)),
        routes=route_statuses(routes.load(home.edge), servers or ()),
    )


def _servers(edge: EdgeContainer) -> Sequence[Server] | None:
    """Return the servers; one that is down after a failed check, as after a restart, may pass the next ones."""
    try:
        servers = edge.control.servers()
        for _ in range(CHECKS):
            if all(server.health != "DOWN" for server in servers):
                break
            interruption.pause(CHECKED_EVERY)
            servers = edge.control.servers()
    except Unreachable:
        return None
    return servers
