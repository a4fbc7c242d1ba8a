"""`sandbox proxy status`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from sandbox.cli import command_context
from sandbox.components.certificates.keystore import Keystore, inventory
from sandbox.components.edge import extra_routes, routes
from sandbox.components.edge.container import EdgeContainer, surplus
from sandbox.components.edge.haproxy_admin import Server, Unreachable
from sandbox.components.edge.route_status import ENDS, Way, ways
from sandbox.engine import Engine
from sandbox.names import EDGE_LEAF, Home

COLORS = {"UP": "green", "DOWN": "red"}


def run(ctx: click.Context, *, output: str) -> int:
    """Show every host or domain, where it leads, and how it stands there."""
    command_context.start_log(verbose=ctx.obj)
    home = command_context.home()
    box = EdgeContainer.of(Engine.connect(), home)
    known = routes.load(home.edge)
    container = box.find()
    running = container is not None and container.running
    servers = _servers(box) if running else None
    found = ways(extra_routes.merged(known, extra_routes.load(home.edge)), servers or ())
    days = {name: _days_left(home, name) for name in {way.sandbox for way in found if way.mode == ENDS}}
    ports = sorted(bind for binds in container.published.values() for bind in binds) if container else []
    unasked = surplus(container, known) if container else frozenset()
    if output == "json":
        report = {
            "running": running,
            "ports": [{**asdict(bind), "asked_for": bind not in unasked} for bind in ports],
            "routes": [_row(way, days) for way in found],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        said = ", ".join(
            f"{bind.address}:{bind.port}" + (" (no longer asked for)" if bind in unasked else "") for bind in ports
        )
        click.echo(f"listens on {said}" if running else "does not run; sandbox up starts it")
        for line in _table(found, days):
            click.echo(line)
        if running and servers is None:
            click.echo("this engine lets nobody ask the proxy: health and figures are not known", err=True)
    down = any(way.servers and all(server.health == "DOWN" for server in way.servers) for way in found)
    return 0 if running and not down else 1


def _servers(box: EdgeContainer) -> Sequence[Server] | None:
    try:
        return box.control.servers()
    except Unreachable:
        return None


def _days_left(home: Home, sandbox: str) -> int | None:
    """How long the certificate of a sandbox's hosts that end at the edge is good."""
    entries = inventory(Keystore(home.sandbox(sandbox).keys), now=datetime.now(UTC))
    return next((one.facts.days_left for one in entries if one.name == EDGE_LEAF and one.facts), None)


def _row(way: Way, days: Mapping[str, int | None]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "host": way.host,
        "sandbox": way.sandbox,
        "mode": way.mode,
        "upstreams": way.upstreams,
        "servers": [asdict(server) for server in way.servers],
    }
    return {**row, "certificate_days_left": days[way.sandbox]} if way.mode == ENDS else row


def _table(found: Sequence[Way], days: Mapping[str, int | None]) -> Iterator[str]:
    for way in found:
        yield f"{click.style(way.host, bold=True)} → {', '.join(way.upstreams)}   {way.mode}, sandbox {way.sandbox}"
        if way.mode == ENDS:
            left = days[way.sandbox]
            yield "    certificate " + ("is missing" if left is None else f"{left} days left")
        for server in way.servers:
            health = click.style(server.health, fg=COLORS.get(server.health))
            yield (
                f"    {server.address or server.name} {health} {server.last_check}   "
                f"{server.current} open, {server.total} in all, {server.bytes_in} B in, {server.bytes_out} B out"
            )
