"""Ports and addresses of Services: added, followed and removed by commands, and where each Service is reached."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from sandbox.app.context import home as user_home
from sandbox.app.edge.ports import EDGE_TCP, Machine, Wanted, problems
from sandbox.app.session import Session
from sandbox.app.views.known_sandboxes import not_up, require_known
from sandbox.components.cluster.dns import service_name
from sandbox.components.edge import host_ports, routes
from sandbox.components.edge.route import Port, Route
from sandbox.components.edge.shared_edge import NOT_RUNNING, Edge
from sandbox.config.schema.edge_schema import USUAL
from sandbox.engine import Bind, Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster, ClusterError, ServerAway
from sandbox.names import EDGE, Home
from sandbox.plan import saved_spec
from sandbox.system import files, host_network


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


@dataclass(frozen=True)
class PortStatus:
    """A port, its sandbox, and the number of pods that are ready for it; None when the cluster does not answer.

    With a `host` it is a port for HTTPS, where only TLS for that host is routed to the Service.
    """

    address: str
    port: int
    to: str
    sandbox: str
    proxy_protocol: bool
    added: bool
    ready: int | None
    detail: str
    host: str = ""

    @property
    def place(self) -> str:
        return host_network.authority(self.host or self.address, self.port)


def balanced(up: Sequence[Route], home: Home, engine: Engine) -> tuple[Balanced, ...]:
    """Return the Services of type LoadBalancer of all sandboxes whose cluster answers."""
    balancers: list[Balanced] = []
    for route in up:
        names = home.sandbox(route.name)
        with suppress(SandboxError):
            reached = bool(engine.shares_network())
            for service in Cluster(names.kubeconfig).list("v1", "Service", saved_spec.namespace(names)):
                if service["spec"].get("type") != "LoadBalancer":
                    continue
                given = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
                numbers = service["spec"].get("ports") or ()
                ports = tuple(f"{each['port']}/{each.get('protocol', 'TCP').lower()}" for each in numbers)
                name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
                balancers.append(Balanced(route.name, name, str(given[0].get("ip", "")), ports, reached))
    return tuple(balancers)


def reached_of(name: str, home: Home, engine: Engine) -> tuple[Reached, ...]:
    """Return every Service of a sandbox that is up and has a port of this machine or an address, or waits for one."""
    route = routes.find(routes.load(home.edge), name)
    if route is None:
        return ()
    places: dict[str, list[str]] = {}
    for port in route.every_port:
        address, number = route.place(port)
        url = f"tls://{port.host}:{number}" if port.host else f"tcp://{host_network.authority(address, number)}"
        places.setdefault(port.to.partition(":")[0], []).append(url)
    for each in balanced((route,), home, engine):
        ends = (port.partition("/") for port in each.ports)
        urls = [f"{protocol}://{host_network.authority(each.address, number)}" for number, _, protocol in ends]
        places.setdefault(each.service, []).extend(urls if each.address and each.reached else ())
    return tuple(
        Reached(service, tuple(urls), service_name(service, route.domain)) for service, urls in sorted(places.items())
    )


def places(name: str, service: str) -> tuple[str, ...]:
    """Return where this machine reaches a Service (NAMESPACE/NAME) of a sandbox, as URLs. Raises SandboxError."""
    service = service.partition(":")[0]  # as `edge status` shows one, with a port
    for each in reached_of(name, user_home(), Engine.connect()):
        if each.service == service and each.places:
            return each.places
    raise UsageError(
        f"this machine has no way to the Service {service}",
        details="it has no port of this machine, and no address as a load balancer",
        fix=f"sandbox doctor service {service}   (it tells more)",
    )


def statuses() -> tuple[PortStatus, ...]:
    return tuple(_status(route, port) for route in routes.load(user_home().edge) for port in route.every_port)


def _status(route: Route, port: Port) -> PortStatus:
    ready: int | None
    try:
        cluster = Cluster(user_home().sandbox(route.name).kubeconfig)
        forward = next((each for each in route.forwards if each.name == port.to), None)
        service = f"{forward.namespace}/{forward.target.removeprefix('service/')}:{forward.port}" if forward else ""
        ready, detail = host_ports.ready_pods(cluster, service or port.to, direct=bool(forward))
    except SandboxError as error:
        ready, detail = None, f"its cluster does not answer: {error.brief}"
    address, number = route.place(port)
    return PortStatus(
        address=address,
        port=number,
        to=port.to,
        sandbox=route.name,
        proxy_protocol=port.proxy,
        added=port in route.added_ports,
        ready=ready,
        detail=detail,
        host=port.host,
    )


def add(session: Session, port: int | None, to: str, *, name: str | None, proxy: bool) -> PortStatus:
    """Route a port of this machine to the Service `to`, of the sandbox `name` or of the only one that is up.

    Without `port` it is the Service's port, or the next free one. A Service without its port in `to` is used at the
    one of that number. Raises SandboxError.
    """
    if port is None and ":" not in to:
        raise UsageError(
            f"{to!r} must be NAMESPACE/SERVICE:PORT, because the port of this machine is auto",
            fix=f"sandbox edge port add auto {to}:PORT",
        )
    home, engine = user_home(), Engine.connect()
    route = _route(home, name)
    with session.alone(route.name, "port"):
        target = Port(port or 0, to if ":" in to else f"{to}:{port}", proxy)
        with suppress(ClusterError):  # a Service that does not exist yet may be created later
            if trouble := host_ports.mismatch(Cluster(home.sandbox(route.name).kubeconfig), target):
                raise UsageError(trouble, fix=f"sandbox edge port add {port or 'auto'} NAMESPACE/SERVICE:PORT")
        with routes.alone(home.edge):  # no other command chooses meanwhile
            target = replace(target, port=_number(Machine.inspect(route.name, home, engine), route, port, target))
            routes.ADDED_PORTS.save(home.edge, (route.name, target))
        _follow(home, engine, route.name, session.say)
        return _status(replace(route, added_ports=(*route.added_ports, target)), target)


def _number(machine: Machine, route: Route, port: int | None, target: Port) -> int:
    mine = {each.port for each in route.every_port if each.to == target.to and not each.host}
    others = {number for _, number in route.takes} - mine

    def wrong(number: int) -> Iterator[SandboxError]:
        bind = Bind(route.listen[0][0], number)
        return problems(Wanted(EDGE, bind, *EDGE_TCP, command=f"sandbox edge port add %s {target.to}"), machine)

    if port is None:
        named = target.to.partition(":")[2]
        usual = int(named) if named.isdigit() else USUAL
        free = (each for each in (usual, *host_network.after(usual)) if each not in others)
        return next(each for each in free if not any(wrong(each)))
    if port in others:
        raise UsageError(f"the sandbox '{route.name}' has port {port} already", fix="choose another, or auto")
    for problem in wrong(port):
        raise problem
    return port


def remove(session: Session, port: int, *, name: str | None) -> None:
    home = user_home()
    added = routes.ADDED_PORTS.load(home.edge)
    sandboxes = [sandbox for sandbox, each in added if each.port == port and name in (None, sandbox)]
    if not sandboxes:
        raise UsageError(f"port {port} was not added", fix="sandbox edge port list shows the ports that were")
    if len(sandboxes) > 1:
        raise UsageError(
            f"{' and '.join(sandboxes)} have a port {port}", fix=f"sandbox edge port remove {port} -n NAME"
        )
    with session.alone(sandboxes[0], "port"):
        with files.exclusive(home.edge):
            routes.ADDED_PORTS.remove(home.edge, f"{sandboxes[0]}.{port}")
        _follow(home, Engine.connect(), sandboxes[0], session.say)


def _route(home: Home, name: str | None) -> Route:
    up = routes.load(home.edge)
    if name is None and len(up) != 1:
        names = ", ".join(route.name for route in up) or "none"
        fix = "-n NAME; or bring one up: sandbox up"
        raise UsageError("it is not clear which sandbox is meant", details=f"up are: {names}", fix=fix)
    name = name or up[0].name
    route = routes.find(up, name)
    if route is None:
        require_known(name)
        raise not_up(name, "")
    if route.forwards:
        raise UsageError(
            f"'{name}' is reached by kubectl port-forward, which has the TCP ports of its spec only",
            fix="in sandbox.yaml: edge: {tcp: [{port: PORT, to: NAMESPACE/SERVICE:PORT}]}, then sandbox up",
        )
    return route


def _follow(home: Home, engine: Engine, name: str, say: Callable[[str], None]) -> None:
    route = routes.find(routes.load(home.edge), name)
    if route is None:
        return
    edge = Edge.running(engine, home.sandbox(name))
    if edge is None:
        say(NOT_RUNNING)
        return
    edge.publish(route, say)
    try:
        for missing in host_ports.publish(edge, route.every_port):
            say(missing)
    except ServerAway as error:
        away = not_up(name, str(error))
        say(f"{away.brief}; this takes effect with: {away.fix}")
