"""Reads the state of this user's edge: whether it runs, where it listens, its routes."""

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.components.edge import container, routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.haproxy_admin import RouteStatus, Server, Unreachable, route_statuses
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
    answers, servers = True, list[Server]()
    try:
        # A server that is down after a failed check, as after a restart, may pass the next ones.
        for number in range(CHECKS if running else 0):
            if number:
                interruption.pause(CHECKED_EVERY)
            servers = [*edge.control.servers()]
            if all(server.health != "DOWN" for server in servers):
                break
    except Unreachable:
        answers = False
    return EdgeState(
        running=running,
        answers=answers,
        listens=sorted(container.listens(engine, home)),
        routes=route_statuses(routes.load(home.edge), servers),
    )
