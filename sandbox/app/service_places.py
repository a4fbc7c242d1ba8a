"""Where Services are reached: ports of this machine, addresses of load balancers, and names inside the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from sandbox.components.cluster.dns import service_name
from sandbox.components.edge import container_reach, routes
from sandbox.components.edge.route import Port, Route
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, Manifest
from sandbox.names import Home
from sandbox.plan import providers
from sandbox.system import host_network


@dataclass(frozen=True)
class Balanced:
    """A Service of type LoadBalancer, its address if it has one yet, and its ports, each as NUMBER/PROTOCOL.

    `reached` is whether this machine reaches that address.
    """

    sandbox: str
    service: str
    address: str
    ports: tuple[str, ...]
    reached: bool = True


@dataclass(frozen=True)
class Reached:
    """A Service, its URLs (tcp://, udp://, tls://), none while it waits for an address, and its name for pods."""

    service: str
    places: tuple[str, ...]
    name: str


def load_balancers(route: Route, home: Home) -> tuple[Balanced, ...]:
    """Return the Services of type LoadBalancer of one sandbox. Raises SandboxError."""
    names = home.sandbox(route.name)
    services = Cluster(names.kubeconfig).list("v1", "Service", providers.namespace(names))
    return tuple(_balanced(route.name, one) for one in services if one["spec"].get("type") == "LoadBalancer")


def balanced(known: Sequence[Route], home: Home, engine: Engine | None = None) -> tuple[Balanced, ...]:
    """Return the Services of type LoadBalancer of all sandboxes whose cluster answers.

    With the `engine`, it is tested whether this machine reaches their addresses.
    """
    found: list[Balanced] = []
    for route in known:
        with suppress(SandboxError):
            mine, names = load_balancers(route, home), home.sandbox(route.name)
            reached = not mine or engine is None or container_reach.are_reached(engine, names, route.network)
            found += [replace(one, reached=reached) for one in mine]
    return tuple(found)


def reached_of(name: str, home: Home, engine: Engine) -> tuple[Reached, ...]:
    """Return the Services of the sandbox `name`, by either kind of edge; none if it is not up."""
    route = routes.find(routes.load(home.edge), name)
    return _reached(route, home, engine) if route else ()


def _reached(route: Route, home: Home, engine: Engine) -> tuple[Reached, ...]:
    """Return every Service of a sandbox that has a port of this machine or an address, or waits for one."""
    places: dict[str, list[str]] = {}
    for port in route.every_port:
        places.setdefault(port.to.partition(":")[0], []).append(_url(route, port))
    for one in balanced((route,), home, engine):
        ends = (port.partition("/") for port in one.ports)
        urls = [f"{protocol}://{host_network.authority(one.address, number)}" for number, _, protocol in ends]
        places.setdefault(one.service, []).extend(urls if one.address and one.reached else ())
    return tuple(
        Reached(service, tuple(urls), service_name(service, route.domain)) for service, urls in sorted(places.items())
    )


def _balanced(sandbox: str, service: Manifest) -> Balanced:
    given = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    ports = (f"{one['port']}/{one.get('protocol', 'TCP').lower()}" for one in service["spec"].get("ports") or ())
    metadata = service["metadata"]
    return Balanced(sandbox, f"{metadata['namespace']}/{metadata['name']}", str(given[0].get("ip", "")), tuple(ports))


def _url(route: Route, port: Port) -> str:
    address, number = route.place(port)
    if port.host:
        return f"tls://{port.host}:{number}"
    return f"tcp://{host_network.authority(address, number)}"
