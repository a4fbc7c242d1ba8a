"""What `sandbox edge status` shows: the edge's ports and routes, ports of Services and load balancers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from sandbox.app import context
from sandbox.app.edge import edge_ports, edge_state
from sandbox.app.edge.edge_ports import Balanced, PortStatus
from sandbox.app.edge.edge_state import EdgeState
from sandbox.components.certificates.keystore import Keystore, inventory
from sandbox.components.edge import routes
from sandbox.components.edge.route_status import ENDS, RouteStatus
from sandbox.components.edge.shared_edge import NOT_RUNNING
from sandbox.engine import Bind, Engine
from sandbox.names import EDGE_LEAF
from sandbox.quantities import count

COLORS = {"UP": "green", "DOWN": "red"}


@dataclass(frozen=True, kw_only=True)
class EdgeRoute(RouteStatus):
    """A host and its servers; days of the certificate where TLS ends at the edge."""

    certificate_days_left: int | None


@dataclass(frozen=True, kw_only=True)
class EdgeStatus:
    """`sandbox edge status`."""

    running: bool
    ports: Sequence[Bind]
    routes: Sequence[EdgeRoute]
    tcp: Sequence[PortStatus]
    tls: Sequence[PortStatus]
    load_balancers: Sequence[Balanced]


def read() -> tuple[EdgeStatus, EdgeState]:
    home = context.home()
    engine = Engine.connect()
    edge, ports = edge_state.read(home, engine), edge_ports.statuses()
    days_left: dict[str, int | None] = {}
    for name in {route.sandbox for route in edge.routes if route.mode == ENDS}:
        entries = inventory(Keystore(home.sandbox(name).keys), now=datetime.now(UTC))
        days_left[name] = next(
            (entry.facts.days_left for entry in entries if entry.name == EDGE_LEAF and entry.facts), None
        )
    status = EdgeStatus(
        running=edge.running,
        ports=edge.listens,
        routes=[
            EdgeRoute(**vars(route), certificate_days_left=days_left[route.sandbox] if route.mode == ENDS else None)
            for route in edge.routes
        ],
        tcp=[port for port in ports if not port.host],
        tls=[port for port in ports if port.host],
        load_balancers=edge_ports.balanced(routes.load(home.edge), home, engine),
    )
    return status, edge


def lines(status: EdgeStatus) -> Iterator[str]:
    yield f"listens on {', '.join(map(str, status.ports))}" if status.running else NOT_RUNNING
    for route in status.routes:
        host, upstreams = click.style(route.host, bold=True), ", ".join(route.upstreams)
        yield f"{host} → {upstreams}   {route.mode}, sandbox {route.sandbox}"
        if route.mode == ENDS:
            days = route.certificate_days_left
            yield "    certificate " + ("is missing" if days is None else f"{count(days, 'day')} left")
        for server in route.servers:
            health = click.style(server.health, fg=COLORS.get(server.health))
            yield (
                f"    {server.address or server.name} {health} {server.last_check}   "
                f"{server.current} open, {server.total} in all, {server.bytes_in} B in, {server.bytes_out} B out"
            )
    yield from map(port_line, (*status.tcp, *status.tls))
    for service in status.load_balancers:
        address = service.address
        place = click.style(address, bold=True) if address else click.style("no address yet", fg="red")
        yield f"{place} → {service.service}   {', '.join(service.ports)}, sandbox {service.sandbox}"
        if address and not service.reached:
            way = "sandbox edge port add auto NAMESPACE/SERVICE:PORT"
            yield f"    not reached from this machine: open a port with {way}"


def port_line(port: PortStatus) -> str:
    notes = ["TLS" if port.host else "TCP", f"sandbox {port.sandbox}"]
    notes += ["PROXY protocol"] if port.proxy_protocol else []
    notes += ["added"] if port.added else []
    detail = click.style(port.detail, fg="green" if port.ready else "red")
    return f"{click.style(port.place, bold=True)} → {port.to}   {', '.join(notes)}\n    {detail}"
