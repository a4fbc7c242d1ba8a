"""`sandbox edge` and `sandbox open`: where hosts are routed, and the routes added by hand."""

import io
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from sandbox.app import context
from sandbox.app.edge import edge_ports, edge_routes
from sandbox.app.edge.edge_ports import Balanced, PortStatus
from sandbox.app.views.known_sandboxes import require_known
from sandbox.app.views.overview import host_urls
from sandbox.cli import completion
from sandbox.cli.app import Group
from sandbox.cli.options import Port, begin, name_option, output_option, spec_options
from sandbox.cli.output import has_desktop
from sandbox.components.edge import routes
from sandbox.components.edge.haproxy_admin import RouteStatus
from sandbox.components.edge.route import AddedRoute
from sandbox.components.edge.shared_edge import NOT_RUNNING
from sandbox.config import loader
from sandbox.config.schema.values import Host, ServicePort, Upstream
from sandbox.engine import Bind, Engine

COLORS = {"UP": "green", "DOWN": "red"}


@dataclass(frozen=True, kw_only=True)
class EdgeStatus:
    """`sandbox edge status`."""

    running: bool
    ports: Sequence[Bind]
    routes: Sequence[RouteStatus]
    tcp: Sequence[PortStatus]
    tls: Sequence[PortStatus]
    load_balancers: Sequence[Balanced]


@dataclass(frozen=True)
class Urls:
    urls: Sequence[str]


@click.group("edge", cls=Group)
def edge() -> None:
    """Show edge routes; add or remove routes to servers outside the cluster."""


@edge.command("status")
@output_option(EdgeStatus)
def status() -> int:
    """Show every route with the health of its servers.

    Connections and bytes are counted per server, since HAProxy last started a new worker. Exit code 1 if the edge is
    not running, if all servers of a route are down, or if no pod is ready for a port.

    \b
    sandbox edge status
    sandbox edge status -o json
    """
    call = begin()
    home, engine = context.home(), Engine.connect()
    edge, ports = edge_routes.state(home, engine), edge_ports.statuses()
    status = EdgeStatus(
        running=edge.running,
        ports=edge.listens,
        routes=edge.routes,
        tcp=[port for port in ports if not port.host],
        tls=[port for port in ports if port.host],
        load_balancers=edge_ports.balanced(routes.load(home.edge), home, engine),
    )
    call.show(status, _lines(status))
    if edge.running and not edge.answers and call.output == "text":
        click.echo(
            "HAProxy's admin socket is not reachable on this engine: health and statistics are unknown", err=True
        )
    down = any(route.servers and all(server.health == "DOWN" for server in route.servers) for route in status.routes)
    without_pods = any(port.ready == 0 for port in ports)
    return 0 if status.running and not down and not without_pods else 1


@edge.command("url")
@click.argument("host", required=False)
@spec_options
@click.option("--qr", is_flag=True, help="Also show a QR code, for a phone in the same network.")
@output_option(Urls)
def url(host: str | None, *, qr: bool) -> None:
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
    call = begin()
    if call.name:
        require_known(call.name)
    name = call.spec().name
    urls = edge_ports.places(name, host) if host and "/" in host else host_urls(name, host, for_others=qr)
    call.show(Urls(urls), map(_with_code, urls) if qr else urls)


def _with_code(url: str) -> str:
    import segno

    code = io.StringIO()
    segno.make(url, micro=False).terminal(code, compact=True)
    return f"{url}\n{code.getvalue()}"


@click.command("open")
@click.argument("host", required=False, shell_complete=completion.hosts)
@spec_options
def open_page(host: str | None) -> None:
    """Open the page of HOST, by default the sandbox's first host.

    It also prints the URL; without a screen, or in a pipe, it does only that.

    \b
    sandbox open
    sandbox open app.demo.sandbox.localhost
    """
    url = host_urls(begin().spec().name, host, for_others=False)[0]
    click.echo(url)
    if has_desktop():
        webbrowser.open(url)


@edge.group("route", cls=Group)
def route() -> None:
    """Add, remove and list routes to servers outside the cluster.

    \b
    sandbox edge route add app.demo.sandbox.localhost localhost:3000
    sandbox edge route remove app.demo.sandbox.localhost
    """


@route.command("add")
@click.argument("host")
@click.argument("upstream", metavar="HOST:PORT")
@name_option("The sandbox whose CA issues for HOST.  [default: the one with HOST's domain]")
def add(host: str, upstream: str) -> None:
    """Route https://HOST to HOST:PORT, a server outside the cluster that speaks plain HTTP.

    HOST is in the domain of a sandbox, whose CA can issue for no other. The edge is a container. On Linux it cannot
    reach a server that listens on 127.0.0.1 only: let the server listen on 0.0.0.0, or on the address that this command
    prints.

    \b
    sandbox edge route add api.demo.sandbox.localhost localhost:3000
    """
    call = begin()
    loader.require(Host, host)
    loader.require(Upstream, upstream)
    click.echo(f"{edge_routes.add(call.session, host, upstream, name=call.name)} routes to {upstream}")
    click.echo("whether the server answers: sandbox edge status", err=True)


@route.command("remove")
@click.argument("host", shell_complete=completion.hosts)
def remove(host: str) -> None:
    """Remove the route that `add` added for HOST.

    \b
    sandbox edge route remove api.demo.sandbox.localhost
    """
    edge_routes.remove(begin().session, host)
    click.echo(f"{host} is no longer routed")


@route.command("list")
@output_option(tuple[AddedRoute, ...])
def list_() -> None:
    """List the routes that `add` added.

    \b
    sandbox edge route list
    """
    call = begin()
    added = edge_routes.added()
    lines = (f"{route.host} → {route.to}   sandbox {route.sandbox}" for route in added)
    call.show(added, lines, none="no routes; add one with: sandbox edge route add HOST UPSTREAM")


@edge.group("port", cls=Group)
def port() -> None:
    """Route TCP ports of this machine to Services.

    \b
    sandbox edge port add 5432 shop/db
    sandbox edge port remove 5432
    """


@port.command("add")
@click.argument("port", type=Port())
@click.argument("to", metavar="NAMESPACE/SERVICE[:PORT]")
@name_option("The sandbox.  [default: the only one that is up]")
@click.option("--proxy-protocol", is_flag=True, help="Pass on the client's address by the PROXY protocol, version 2.")
def add_port(port: int | str, to: str, *, proxy_protocol: bool) -> None:
    """Route port PORT of this machine to a Service.

    PORT may be auto: the Service's port, or the next free one. Without :PORT it is the Service's port of that number.
    It listens at `edge.listen`, and stays until `remove`, also after `down`. In sandbox.yaml: edge: {tcp: [{port: 5432,
    to: shop/db}]}. For UDP use the address of a Service of type LoadBalancer.

    \b
    sandbox edge port add 5432 shop/db
    sandbox edge port add auto shop/cache:6379 -n demo
    """
    call = begin()
    loader.require(ServicePort, to)
    number = None if port == "auto" else int(port)
    click.echo(_port_line(edge_ports.add(call.session, number, to, name=call.name, proxy=proxy_protocol)))


@port.command("remove")
@click.argument("port", type=Port())
@name_option("The sandbox, if several have the port.")
def remove_port(port: int | str) -> None:
    """Remove a port that `add` added.

    \b
    sandbox edge port remove 5432
    """
    call = begin()
    if port == "auto":
        raise click.UsageError("which port? sandbox edge port list shows them")
    edge_ports.remove(call.session, int(port), name=call.name)
    click.echo(f"port {port} removed")


@port.command("list")
@output_option(tuple[PortStatus, ...])
def list_ports() -> None:
    """List all ports of Services, with the number of pods ready for each.

    \b
    sandbox edge port list
    """
    call = begin()
    ports = edge_ports.statuses()
    none = "no ports; add one with: sandbox edge port add auto NAMESPACE/SERVICE:PORT"
    call.show(ports, map(_port_line, ports), none=none)


def _lines(status: EdgeStatus) -> Iterator[str]:
    yield f"listens on {', '.join(map(str, status.ports))}" if status.running else NOT_RUNNING
    for route in status.routes:
        host, upstreams = click.style(route.host, bold=True), ", ".join(route.upstreams)
        yield f"{host} → {upstreams}   {route.mode}, sandbox {route.sandbox}"
        for server in route.servers:
            health = click.style(server.health, fg=COLORS.get(server.health))
            yield (
                f"    {server.address or server.name} {health} {server.last_check}   "
                f"{server.current} open, {server.total} in all, {server.bytes_in} B in, {server.bytes_out} B out"
            )
    yield from map(_port_line, (*status.tcp, *status.tls))
    for service in status.load_balancers:
        address = service.address
        place = click.style(address, bold=True) if address else click.style("no address yet", fg="red")
        yield f"{place} → {service.service}   {', '.join(service.ports)}, sandbox {service.sandbox}"
        if address and not service.reached:
            way = "sandbox edge port add auto NAMESPACE/SERVICE:PORT"
            yield f"    not reached from this machine: open a port with {way}"


def _port_line(port: PortStatus) -> str:
    notes = ["TLS" if port.host else "TCP", f"sandbox {port.sandbox}"]
    notes += ["PROXY protocol"] if port.proxy_protocol else []
    notes += ["added"] if port.added else []
    detail = click.style(port.detail, fg="green" if port.ready else "red")
    return f"{click.style(port.place, bold=True)} → {port.to}   {', '.join(notes)}\n    {detail}"
