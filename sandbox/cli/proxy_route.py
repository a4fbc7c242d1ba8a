"""`sandbox proxy route`: hosts that lead out of the cluster, kept until they are removed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from sandbox.cli import command_context, session
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import extra_routes, route_status, routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.extra_routes import ByHand
from sandbox.components.edge.haproxy_admin import Unreachable
from sandbox.components.edge.routes import Host as RoutedHost
from sandbox.components.edge.routes import Route
from sandbox.components.edge.step import EdgeStep
from sandbox.components.ingress import steps as ingress_step
from sandbox.components.ingress.traefik import elsewhere
from sandbox.config.schema.values import Host, Upstream
from sandbox.engine import Bind, Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.names import EDGE_LEAF, Home
from sandbox.system import files
from sandbox.system.wait import WaitTimeout, wait_until

PATIENCE = 5.0


def add(ctx: click.Context, host: str, upstream: str, *, name: str | None) -> int:
    """Lead https://HOST to UPSTREAM (HOST:PORT), a server outside the cluster that speaks plain HTTP."""
    command_context.start_log(verbose=ctx.obj)
    _check(Host, host)
    _check(Upstream, upstream)
    home = command_context.home()
    route = _owner(home, host, name)
    if any(one.host == host and one.sandbox != route.name for one in extra_routes.load(home.edge)):
        raise UsageError(f"{host} is another sandbox's", fix=f"sandbox proxy route remove {host}")
    with session.alone(route.name):
        wanted = ByHand(host, route.name, upstream)
        asked = replace(route, hosts=(*route.hosts, RoutedHost(host)))
        known = extra_routes.merged(routes.load(home.edge), extra_routes.load(home.edge))
        routes.require_unclaimed(asked, (*known, *routes.load(home.passthrough)))
        others = (one for one in extra_routes.load(home.edge) if one.host != host)
        # Before it is kept: the authority may not be allowed to vouch for it.
        _issue(home, route, (*others, wanted))
        with files.exclusive(home.edge):
            extra_routes.save(home.edge, wanted)
        _take_in(home, route)
    click.echo(f"https://{host} leads to {upstream}")
    trouble = _trouble(home, host)
    if trouble:
        click.echo(f"but {upstream} does not answer the proxy: {trouble}", err=True)
        click.echo(f"a server of this machine has to listen on 0.0.0.0 or {_gateway()}", err=True)
    return 0


def remove(ctx: click.Context, host: str) -> int:
    """Forget HOST, which was added by `add`."""
    command_context.start_log(verbose=ctx.obj)
    home = command_context.home()
    found = next((one for one in extra_routes.load(home.edge) if one.host == host), None)
    if found is None:
        raise UsageError(f"no route was added for {host}", fix="sandbox proxy route list shows those that were")
    with session.alone(found.sandbox):
        with files.exclusive(home.edge):
            extra_routes.remove(home.edge, host)
        route = routes.find(routes.load(home.edge), found.sandbox)
        if route:
            _issue(home, route, extra_routes.load(home.edge))
            _take_in(home, route)
    click.echo(f"{host} is forgotten")
    return 0


def show(ctx: click.Context, *, output: str) -> int:
    """List what was added by `add`."""
    command_context.start_log(verbose=ctx.obj)
    found = extra_routes.load(command_context.home().edge)
    if output == "json":
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        for one in found:
            click.echo(f"{one.host} → {one.to}   sandbox {one.sandbox}")
    return 0


def _check(kind: Any, text: str) -> None:
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        raise UsageError(f"{text!r} {error.errors()[0]['ctx']['error']}") from error


def _owner(home: Home, host: str, name: str | None) -> Route:
    """The sandbox that is named, else the one whose domain holds the host most closely. Raises UsageError."""
    known = routes.load(home.edge)
    if fitting := _fitting(known, host, name):
        return max(fitting, key=lambda route: len(route.domain))
    if others := _fitting(routes.load(home.passthrough), host, name):
        raise UsageError(
            f"'{others[0].name}' has no edge that could lead {host} elsewhere",
            details="a process brings its ports to its ingress, and knows no other way",
            fix="an Ingress can: with a Service without selector, and the server's address in an EndpointSlice",
        )
    domains = ", ".join(f"{route.name} ({route.domain})" for route in known) or "none"
    raise UsageError(f"no sandbox is up for {name or host}", details=f"up are: {domains}", fix="sandbox up")


def _fitting(known: Sequence[Route], host: str, name: str | None) -> list[Route]:
    if name is not None:
        return [route for route in known if route.name == name]
    return [route for route in known if host.endswith(f".{route.domain}") or host == route.domain]


def _issue(home: Home, route: Route, added: Sequence[ByHand]) -> None:
    """See that there is a certificate for exactly the hosts that end at the edge."""
    hosts = extra_routes.ending(route.hosts, added, route.name, route.aliases)
    if hosts:
        Keystore(home.sandbox(route.name).keys).leaf(EDGE_LEAF, hosts, now=datetime.now(UTC))


def _take_in(home: Home, route: Route) -> None:
    """Let the proxy have it, if it runs; `up` starts one that does not."""
    engine = Engine.connect()
    found = EdgeContainer.of(engine, home).find()
    if found is None or not found.running:
        click.echo("the proxy does not run; sandbox up starts it", err=True)
        return
    binds = tuple(Bind(*each) for each in route.listen)
    names = home.sandbox(route.name)
    nodes = (route.upstream, *route.replicas)
    step = EdgeStep(engine, names, lambda: nodes, found.image, route.domain, binds, route.hosts, route.aliases)
    replace(step, network=route.network, proof=route.proof).take_in()
    hosts = extra_routes.leaving(route.hosts, extra_routes.load(home.edge), route.name)
    with suppress(SandboxError):  # a cluster that does not answer is told by up
        ingress_step.replace(names, elsewhere(hosts))


def _trouble(home: Home, host: str) -> str | None:
    """What the proxy says of the server behind a host, once it had the time to look; None when all is well."""
    box = EdgeContainer.of(Engine.connect(), home)

    def unsettled() -> str | None:
        known = extra_routes.merged(routes.load(home.edge), extra_routes.load(home.edge))
        way = next(way for way in route_status.ways(known, box.control.servers()) if way.host == host)
        return next(
            (one.last_check or one.health for one in way.servers if one.health != "UP" or not one.last_check), None
        )

    try:
        wait_until(unsettled, what=host, timeout=PATIENCE)
    except Unreachable:
        return None
    except WaitTimeout as error:
        return error.details
    return None


def _gateway() -> str:
    """The address of this machine that containers know as host.docker.internal."""
    try:
        network = Engine.connect().network("bridge")
    except SandboxError:
        return "the engine's own address"
    return network.gateway if network and network.gateway else "the engine's own address"
