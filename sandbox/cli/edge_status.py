"""What `sandbox edge status` shows: the edge's ports and routes, ports of Services and load balancers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import click

from sandbox.app import context, edge_ports, service_places
from sandbox.app.edge_ports import PortStatus
from sandbox.app.service_places import Balanced
from sandbox.components.certificates.keystore import Keystore, inventory
from sandbox.components.edge import routes
from sandbox.components.edge.container import EdgeContainer, serves, surplus
from sandbox.components.edge.haproxy_admin import ENDS, RouteStatus, Server, Unreachable, route_statuses
from sandbox.components.edge.relay import Relay
from sandbox.components.edge.routes import Route
from sandbox.engine import Bind, Engine
from sandbox.fast_dataclass import dataclass
from sandbox.names import EDGE_LEAF, Home

COLORS = {"UP": "green", "DOWN": "red"}


@dataclass(frozen=True, kw_only=True)
class EdgeState:
    """The edge as it is now, its container and its process; `unasked` are ports that no spec asks for any more.

    `days_left` are those of the certificate for each sandbox's hosts whose TLS ends at the edge, None without one.
    """

    running: bool
    answers: bool
    listens: Sequence[Bind]
    unasked: Collection[Bind]
    routes: Sequence[RouteStatus]
    days_left: Mapping[str, int | None]
    ports: Sequence[PortStatus]
    load_balancers: Sequence[Balanced]

    @property
    def is_healthy(self) -> bool:
        """Tell whether the edge runs, each route has a server that is up, and each port a ready pod."""
        down = any(one.servers and all(server.health == "DOWN" for server in one.servers) for one in self.routes)
        return self.running and not down and all(one.ready != 0 for one in self.ports)

    def as_json(self) -> dict[str, Any]:
        """Return it as `json_results.EdgeStatus` has it."""
        without_host = [one for one in self.ports if not one.host]
        return {
            "running": self.running,
            "ports": [{**asdict(bind), "asked_for": bind not in self.unasked} for bind in self.listens],
            "routes": [self._route_as_json(one) for one in self.routes],
            routes.TCP: [asdict(one) for one in without_host if one.protocol == routes.TCP],
            routes.UDP: [asdict(one) for one in without_host if one.protocol == routes.UDP],
            "tls": [asdict(one) for one in self.ports if one.host],
            "load_balancers": [asdict(one) for one in self.load_balancers],
        }

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        if self.running:
            yield f"listens on {', '.join(map(self._listener, self.listens))}"
        else:
            yield "is not running; `sandbox up` starts it"
        for route in self.routes:
            yield from self._route_lines(route)
        yield from map(port_line, self.ports)
        yield from map(_load_balancer_line, self.load_balancers)

    def _listener(self, bind: Bind) -> str:
        return f"{bind.address}:{bind.port}" + (" (no longer in the spec)" if bind in self.unasked else "")

    def _route_as_json(self, route: RouteStatus) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "host": route.host,
            "sandbox": route.sandbox,
            "mode": route.mode,
            "upstreams": route.upstreams,
            "servers": [asdict(server) for server in route.servers],
        }
        if route.mode == ENDS:
            fields["certificate_days_left"] = self.days_left[route.sandbox]
        return fields

    def _route_lines(self, route: RouteStatus) -> Iterator[str]:
        host, upstreams = click.style(route.host, bold=True), ", ".join(route.upstreams)
        yield f"{host} → {upstreams}   {route.mode}, sandbox {route.sandbox}"
        if route.mode == ENDS:
            days = self.days_left[route.sandbox]
            yield "    certificate " + ("is missing" if days is None else f"{days} days left")
        for server in route.servers:
            health = click.style(server.health, fg=COLORS.get(server.health))
            yield (
                f"    {server.address or server.name} {health} {server.last_check}   "
                f"{server.current} open, {server.total} in all, {server.bytes_in} B in, {server.bytes_out} B out"
            )


def read() -> EdgeState:
    """Return the state of this user's edge, which is a container, a process, or both. Raises SandboxError."""
    home = context.home()
    engine = Engine.connect()
    edge = EdgeContainer.of(engine, home)
    known, relayed = routes.load(home.edge), routes.load(home.passthrough)
    relay = Relay(home).listening if relayed else None
    container = edge.find()
    running = container is not None and container.running
    parts = [relay is not None] if relayed else []
    if known or not relayed:  # without any route too, the edge is its container
        parts.append(running)
    servers = _servers(edge) if running else None
    statuses = route_statuses(routes.merged(known, routes.load_added(home.edge)), servers or ())
    binds = {*(serves(container) if container else ()), *(Bind(*one) for one in relay or ())}
    ending = {one.sandbox for one in statuses if one.mode == ENDS}
    return EdgeState(
        running=all(parts),
        answers=servers is not None or not running,
        listens=sorted(binds),
        unasked=surplus(container, known) if container else (),
        routes=(*statuses, *map(_relayed, relayed)),
        days_left={name: _days_left(home, name) for name in ending},
        ports=edge_ports.statuses(known),
        load_balancers=service_places.balanced(known, home, engine),
    )


def _relayed(route: Route) -> RouteStatus:
    """Return the status of a route of the relay, which does not count."""
    (status,) = route_statuses((replace(route, hosts=(), aliases=()),), ())
    return replace(status, upstreams=(Relay.shown(route),))


def port_line(port: PortStatus) -> str:
    """Return a port of a Service for people."""
    detail = click.style(port.detail, fg="green" if port.ready else "red")
    notes = [
        "TLS" if port.host else port.protocol.upper(),
        f"sandbox {port.sandbox}",
        *(["PROXY protocol"] if port.proxy_protocol else []),
        *(["added"] if port.added else []),
        *(["for its address"] if port.balanced else []),
    ]
    return f"{click.style(port.place, bold=True)} → {port.to}   {', '.join(notes)}\n    {detail}"


def _load_balancer_line(service: Balanced) -> str:
    place = click.style(service.address, bold=True) if service.address else click.style("no address yet", fg="red")
    line = f"{place} → {service.service}   {', '.join(service.ports)}, sandbox {service.sandbox}"
    if service.address and not service.reached:
        line += "\n    not reached from this machine: use its ports above, which `sandbox up` adds"
    return line


def _servers(edge: EdgeContainer) -> Sequence[Server] | None:
    try:
        return edge.control.servers()
    except Unreachable:
        return None


def _days_left(home: Home, sandbox: str) -> int | None:
    """Return the days that the certificate for a sandbox's hosts that end at the edge has left; None without one."""
    entries = inventory(Keystore(home.sandbox(sandbox).keys), now=datetime.now(UTC))
    return next((one.facts.days_left for one in entries if one.name == EDGE_LEAF and one.facts), None)
