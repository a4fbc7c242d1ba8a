"""The state of this user's edge, and its routes to servers outside the cluster: added and removed by commands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sandbox.app.context import home as user_home
from sandbox.app.session import Session
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import container, lan_access, routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.haproxy_admin import RouteStatus, Server, Unreachable, route_statuses
from sandbox.components.edge.route import AddedRoute, Host, Route
from sandbox.components.edge.shared_edge import NOT_RUNNING, Edge
from sandbox.components.ingress import traefik
from sandbox.engine import Bind, Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster
from sandbox.names import EDGE_LEAF, SYSTEM_NAMESPACE, Home, is_below
from sandbox.system import files, interruption

CHECKS, CHECKED_EVERY = 5, 0.3  # HAProxy checks servers that are down every 0.2 seconds


@dataclass(frozen=True, kw_only=True)
class EdgeState:
    """The edge as it is now; `answers` is for its admin socket."""

    running: bool
    answers: bool
    listens: Sequence[Bind]
    routes: Sequence[RouteStatus]


def state(home: Home, engine: Engine) -> EdgeState:
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


def added() -> Sequence[AddedRoute]:
    return routes.ADDED_HOSTS.load(user_home().edge)


def add(session: Session, host: str, upstream: str, *, name: str | None) -> str:
    """Route https://HOST to `upstream` (HOST:PORT), for the sandbox `name` or the one whose domain contains the host.

    Returns its URL. Raises SandboxError.
    """
    home = user_home()
    route = _owner(home, host, name)
    if any(each.host == host and each.sandbox != route.name for each in routes.ADDED_HOSTS.load(home.edge)):
        raise UsageError(f"{host} is another sandbox's", fix=f"sandbox edge route remove {host}")
    with session.alone(route.name, "route"):
        others = (each for each in route.added_hosts if each.host != host)
        changed = replace(route, added_hosts=(*others, Host(host, terminate=True, to=upstream)))
        routes.require_unclaimed(changed, routes.load(home.edge))
        _issue(home, changed)  # before the route is kept: the CA may not be allowed to issue for the host
        with files.exclusive(home.edge):
            routes.ADDED_HOSTS.save(home.edge, AddedRoute(host, route.name, upstream))
        _follow(home, route, session)
    return lan_access.url(host, route.listen[0][1])


def remove(session: Session, host: str) -> None:
    home = user_home()
    added_route = next((each for each in routes.ADDED_HOSTS.load(home.edge) if each.host == host), None)
    if added_route is None:
        raise UsageError(f"no route was added for {host}", fix="list the added ones with: sandbox edge route list")
    with session.alone(added_route.sandbox, "route"):
        with files.exclusive(home.edge):
            routes.ADDED_HOSTS.remove(home.edge, host)
        if route := routes.find(routes.load(home.edge), added_route.sandbox):
            _issue(home, route)
            _follow(home, route, session)


def _owner(home: Home, host: str, name: str | None) -> Route:
    up = routes.load(home.edge)
    fitting = [route for route in up if (is_below(host, route.domain) if name is None else route.name == name)]
    if fitting:
        route = max(fitting, key=lambda route: len(route.domain))
        if not route.forwards:
            return route
        raise UsageError(
            f"'{route.name}' is reached by kubectl port-forward, so {host} cannot be routed elsewhere",
            fix="use an Ingress instead, with a Service without selector and the server's address in an EndpointSlice",
        )
    domains = ", ".join(f"{route.name} ({route.domain})" for route in up) or "none"
    raise UsageError(
        f"no sandbox is up for {name or host}",
        details=f"up are: {domains}",
        fix="use a host below one of these domains, or bring its sandbox up: sandbox up",
    )


def _issue(home: Home, route: Route) -> None:
    if route.ending:
        Keystore(home.sandbox(route.name).keys).leaf(EDGE_LEAF, route.ending, now=datetime.now(UTC))


def _follow(home: Home, route: Route, session: Session) -> None:
    names = home.sandbox(route.name)
    edge = Edge.running(Engine.connect(), names)
    if edge is None:
        session.say(NOT_RUNNING)
        return
    edge.publish(route)
    leaving = routes.with_added(home.edge, route).leaving
    page = traefik.page(route.name, port=route.listen[0][1], elsewhere=leaving)
    try:
        cluster = Cluster(names.kubeconfig)
        if cluster.get("v1", "ConfigMap", page.name, SYSTEM_NAMESPACE):
            page.publish(cluster)
    except SandboxError:  # the next `up` publishes the page
        return
