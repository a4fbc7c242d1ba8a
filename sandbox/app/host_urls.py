"""Finds the addresses of a sandbox's hosts: for this machine or, where it is open, for others."""

from __future__ import annotations

from sandbox.app.context import home as user_home
from sandbox.components.edge import extra_routes, lan_names, routes
from sandbox.components.edge.routes import Route
from sandbox.components.ingress.default_backend import hosts_of
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster
from sandbox.names import Home


def host_urls(name: str, host: str | None, *, for_others: bool) -> tuple[str, ...]:
    """Find the URL of `host`, or of every host of the sandbox `name`, which must be up. Raises SandboxError."""
    home = user_home()
    route = _route(home, name)
    found = _urls(route, (host,) if host else _hosts(home, route))
    if not found:
        raise UsageError(
            f"{host or 'the sandbox'} has no URL for others", details=f"they reach hosts of *.{route.domain} alone"
        )
    if for_others and not route.aliases:
        raise UsageError(
            f"only this machine reaches the sandbox {route.name}",
            fix="in sandbox.yaml, set proxy: {listen: 0.0.0.0}, then sandbox up",
        )
    return found


def _route(home: Home, name: str) -> Route:
    for folder in (home.edge, home.passthrough):
        route = routes.find(routes.load(folder), name)
        if route:
            return route
    raise SandboxError(f"the sandbox {name} is not up", fix=f"sandbox up {name}", id="not-up")


def _hosts(home: Home, route: Route) -> tuple[str, ...]:
    """Every host that the cluster or the proxy answers, else the domain itself."""
    found = set(hosts_of(Cluster(home.sandbox(route.name).kubeconfig).list("networking.k8s.io/v1", "Ingress")))
    found |= {one.host for one in (*route.hosts, *extra_routes.hosts(extra_routes.load(home.edge), route.name))}
    return tuple(sorted(found)) or (route.domain,)


def _urls(route: Route, hosts: tuple[str, ...]) -> tuple[str, ...]:
    opened = [port for address, port in route.listen if lan_names.is_open(address)]
    if opened and route.aliases:
        return lan_names.urls(hosts, domain=route.domain, aliases=route.aliases, port=opened[0])
    return tuple(lan_names.url(host, route.listen[0][1]) for host in hosts)
