"""What `sandbox edge status` shows: the edge's ports and routes, ports of Services and load balancers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from sandbox.app import context, edge_ports, edge_state
from sandbox.app.edge_ports import Balanced, PortStatus
from sandbox.app.edge_state import EdgeState
from sandbox.components.certificates.keystore import Keystore, inventory
from sandbox.components.edge import routes
from sandbox.components.edge.haproxy_admin import Server
from sandbox.components.edge.route_status import ENDS, RouteStatus
from sandbox.components.edge.shared_edge import NOT_RUNNING
from sandbox.engine import Engine
from sandbox.names import EDGE_LEAF, Home
from sandbox.quantities import count

COLORS = {"UP": "green", "DOWN": "red"}


@dataclass(frozen=True)
class ListeningPort:
    """A port of this machine."""

    address: str
    port: int


@dataclass(frozen=True, kw_only=True)
class EdgeRoute:
    """A host and its servers; days of the certificate where TLS ends at the edge."""

    host: str
    sandbox: str
    mode: str
    upstreams: Sequence[str]
    servers: Sequence[Server]
    certificate_days_left: int | None


@dataclass(frozen=True, kw_only=True)
class EdgeStatus:
    """`sandbox edge status`."""

    running: bool
    ports: Sequence[ListeningPort]
    routes: Sequence[EdgeRoute]
    tcp: Sequence[PortStatus]
    tls: Sequence[PortStatus]
    load_balancers: Sequence[Balanced]


@dataclass(frozen=True, kw_only=True)
class EdgeReport:
    """The edge as it is now, with what it routes to Services.

    `days_left` are those of the certificate for each sandbox's hosts whose TLS ends at the edge, None without one.
    """

    edge: EdgeState
    days_left: Mapping[str, int | None]
    ports: Sequence[PortStatus]
    load_balancers: Sequence[Balanced]

    @property
    def is_healthy(self) -> bool:
        down = any(one.servers and all(server.health == "DOWN" for server in one.servers) for one in self.edge.routes)
        return self.edge.running and not down and all(one.ready != 0 for one in self.ports)

    @property
    def result(self) -> EdgeStatus:
        return EdgeStatus(
            running=self.edge.running,
            ports=[ListeningPort(bind.address, bind.port) for bind in self.edge.listens],
            routes=[self._route(route) for route in self.edge.routes],
            tcp=[port for port in self.ports if not port.host],
            tls=[port for port in self.ports if port.host],
            load_balancers=self.load_balancers,
        )

    def lines(self) -> Iterator[str]:
        if self.edge.running:
            yield f"listens on {', '.join(map(str, self.edge.listens))}"
        else:
            yield NOT_RUNNING
        for route in self.edge.routes:
            yield from self._route_lines(route)
        yield from map(port_line, self.ports)
        yield from map(_load_balancer_line, self.load_balancers)

    def _route(self, route: RouteStatus) -> EdgeRoute:
        return EdgeRoute(
            host=route.host,
            sandbox=route.sandbox,
            mode=route.mode,
            upstreams=route.upstreams,
            servers=route.servers,
            certificate_days_left=self.days_left[route.sandbox] if route.mode == ENDS else None,
        )

    def _route_lines(self, route: RouteStatus) -> Iterator[str]:
        host, upstreams = click.style(route.host, bold=True), ", ".join(route.upstreams)
        yield f"{host} → {upstreams}   {route.mode}, sandbox {route.sandbox}"
        if route.mode == ENDS:
            days = self.days_left[route.sandbox]
            yield "    certificate " + ("is missing" if days is None else f"{count(days, 'day')} left")
        for server in route.servers:
            health = click.style(server.health, fg=COLORS.get(server.health))
            yield (
                f"    {server.address or server.name} {health} {server.last_check}   "
                f"{server.current} open, {server.total} in all, {server.bytes_in} B in, {server.bytes_out} B out"
            )


def read() -> EdgeReport:
    """Return the status of this user's edge. Raises SandboxError."""
    home = context.home()
    engine = Engine.connect()
    edge = edge_state.read(home, engine)
    known = routes.load(home.edge)
    ending = {one.sandbox for one in edge.routes if one.mode == ENDS}
    return EdgeReport(
        edge=edge,
        days_left={name: _days_left(home, name) for name in ending},
        ports=edge_ports.statuses(),
        load_balancers=edge_ports.balanced(known, home, engine),
    )


def port_line(port: PortStatus) -> str:
    detail = click.style(port.detail, fg="green" if port.ready else "red")
    notes = [
        "TLS" if port.host else "TCP",
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


def _days_left(home: Home, sandbox: str) -> int | None:
    """Return the days that the certificate for a sandbox's hosts that end at the edge has left; None without one."""
    entries = inventory(Keystore(home.sandbox(sandbox).keys), now=datetime.now(UTC))
    return next((one.facts.days_left for one in entries if one.name == EDGE_LEAF and one.facts), None)
