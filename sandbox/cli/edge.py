"""`sandbox edge`: where hosts are routed, and the routes added by hand."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sandbox.cli import completion
from sandbox.cli.groups import Group
from sandbox.cli.options import PORT, begin, find_spec, name_option, output_option, session, spec_options
from sandbox.cli.output import show_json, show_list


def _status() -> Any:
    from sandbox.cli.edge_status import EdgeStatus

    return EdgeStatus


def _added() -> Any:
    from sandbox.components.edge.route import AddedRoute

    return tuple[AddedRoute, ...]


def _ports() -> Any:
    from sandbox.app.edge_ports import PortStatus

    return tuple[PortStatus, ...]


@dataclass(frozen=True)
class Urls:
    """`sandbox edge url`."""

    urls: Sequence[str]


@click.group("edge", cls=Group)
def edge() -> None:
    """Show edge routes; add or remove routes to servers outside the cluster."""


@edge.command("status")
@output_option(_status)
def status(*, output: str) -> int:
    """Show every route with the health of its servers.

    Connections and bytes are counted per server, since HAProxy last started a new worker. Exit code 1 if the edge is
    not running, if all servers of a route are down, or if no pod is ready for a port.

    \b
    sandbox edge status
    sandbox edge status -o json
    """
    begin()
    from sandbox.cli import edge_status

    found = edge_status.read()
    if output == "json":
        show_json(found.result)
    else:
        for line in found.lines():
            click.echo(line)
        if found.edge.running and not found.edge.answers:
            click.echo(
                "HAProxy's admin socket is not reachable on this engine: health and statistics are unknown", err=True
            )
    return 0 if found.is_healthy else 1


@edge.command("url")
@click.argument("host", required=False)
@spec_options
@click.option("--qr", is_flag=True, help="Also show a QR code, for a phone in the same network.")
@output_option(Urls)
def url(host: str | None, file: Path | None, name: str | None, *, qr: bool, output: str) -> None:
    """Print the URL of HOST, or of every host of the sandbox.

    For a Service (NAMESPACE/SERVICE instead of HOST), print the URLs of its ports of this machine and of its address
    as a load balancer.

    If other machines may connect (edge.listen), the URLs are those for them. A phone must first trust the sandbox's
    root certificate, or you must accept its warning.

    \b
    sandbox edge url app.demo.sandbox.localhost -n demo --qr
    sandbox edge url shop/db
    sandbox edge url -o json
    """
    begin()
    if host and "://" in host:  # as browsers show it
        from sandbox.doctor.tls.tls_context import parse

        host, _ = parse(host)
    if name:
        from sandbox.app.views.known_sandboxes import require_known

        require_known(name)
    if host and "/" in host:
        from sandbox.app import edge_ports

        found, qr = edge_ports.places(find_spec(file, name).name, host), False
    else:
        from sandbox.app.views.overview import host_urls

        found = host_urls(find_spec(file, name).name, host, for_others=qr)
    if output == "json":
        show_json(Urls(found))
        return
    for one in found:
        click.echo(one)
        if qr:
            click.echo(_code(one))


@edge.group("route", cls=Group)
def route() -> None:
    """Add, remove and list routes to servers outside the cluster.

    \b
    sandbox edge route add app.demo.sandbox.localhost localhost:3000
    sandbox edge route remove app.demo.sandbox.localhost
    """


@route.command("add")
@click.argument("host")
@click.argument("upstream")
@name_option("The sandbox whose CA issues for HOST.  [default: the one with HOST's domain]")
def add(host: str, upstream: str, *, name: str | None) -> None:
    """Route https://HOST to UPSTREAM (HOST:PORT), a server outside the cluster that speaks plain HTTP.

    HOST is in the domain of a sandbox, whose CA can issue for no other. The edge is a container. On Linux it cannot
    reach a server that listens on 127.0.0.1 only: let the server listen on 0.0.0.0, or on the address that this command
    prints.

    \b
    sandbox edge route add api.demo.sandbox.localhost localhost:3000
    """
    begin()
    from sandbox.app import edge_routes

    url = edge_routes.add(session(), host, upstream, name=name)
    click.echo(f"{url} routes to {upstream}")
    if trouble := edge_routes.trouble(host):
        click.echo(f"but {upstream} does not answer the edge: {trouble.reason}", err=True)
        click.echo(trouble.advice, err=True)


@route.command("remove")
@click.argument("host", shell_complete=completion.hosts)
def remove(host: str) -> None:
    """Remove the route that `add` added for HOST.

    \b
    sandbox edge route remove api.demo.sandbox.localhost
    """
    begin()
    from sandbox.app import edge_routes

    edge_routes.remove(session(), host)
    click.echo(f"{host} is no longer routed")


@route.command("list")
@output_option(_added)
def list_(*, output: str) -> None:
    """List the routes that `add` added.

    \b
    sandbox edge route list
    """
    begin()
    from sandbox.app import edge_routes

    none = "no routes; add one with: sandbox edge route add HOST UPSTREAM"
    show_list(edge_routes.added(), output, lambda one: f"{one.host} → {one.to}   sandbox {one.sandbox}", none=none)


@edge.group("port", cls=Group)
def port() -> None:
    """Route TCP ports of this machine to Services.

    \b
    sandbox edge port add 5432 shop/db
    sandbox edge port remove 5432
    """


@port.command("add")
@click.argument("port", type=PORT)
@click.argument("to", metavar="NAMESPACE/SERVICE[:PORT]")
@name_option("The sandbox.  [default: the only one that is up]")
@click.option("--proxy-protocol", is_flag=True, help="Pass on the client's address by the PROXY protocol, version 2.")
def add_port(port: int | str, to: str, *, name: str | None, proxy_protocol: bool) -> None:
    """Route port PORT of this machine to a Service.

    PORT may be auto: the Service's port, or the next free one. Without :PORT it is the Service's port of that number,
    or the only one that it has. It listens at `edge.listen`, and stays until `remove`, also after `down`. In
    sandbox.yaml: edge: {tcp: [{port: 5432, to: shop/db}]}. For UDP use the address of a Service of type LoadBalancer.

    \b
    sandbox edge port add 5432 shop/db
    sandbox edge port add auto shop/cache:6379 -n demo
    """
    begin()
    from sandbox.app import edge_ports
    from sandbox.cli.edge_status import port_line

    number = None if port == "auto" else int(port)
    added = edge_ports.add(session(), number, to, name=name, proxy=proxy_protocol)
    click.echo(port_line(added))


@port.command("remove")
@click.argument("port", type=PORT)
@name_option("The sandbox, if several have the port.")
def remove_port(port: int | str, *, name: str | None) -> None:
    """Remove a port that `add` added.

    \b
    sandbox edge port remove 5432
    """
    begin()
    from sandbox.app import edge_ports

    if port == "auto":
        raise click.UsageError("which port? sandbox edge port list shows them")
    edge_ports.remove(session(), int(port), name=name)
    click.echo(f"port {port} removed")


@port.command("list")
@output_option(_ports)
def list_ports(*, output: str) -> None:
    """List all ports of Services, with the number of pods ready for each.

    \b
    sandbox edge port list
    """
    begin()
    from sandbox.app import edge_ports
    from sandbox.cli.edge_status import port_line

    none = "no ports; add one with: sandbox edge port add auto NAMESPACE/SERVICE"
    show_list(edge_ports.statuses(), output, port_line, none=none)


def _code(url: str) -> str:
    import segno

    out = io.StringIO()
    segno.make(url, micro=False).terminal(out, compact=True)
    return out.getvalue()
