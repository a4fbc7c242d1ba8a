"""Chooses the ports that the spec leaves open (`auto`), and refuses ports that are not available, before all else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import chain

from sandbox.app import port_reservations
from sandbox.app.port_usage import Machine, PortTaken, Wanted, forbidden, taken
from sandbox.components.edge import edge_folder, lan_access, routes
from sandbox.components.edge.route import Host, Route
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import Bind, Engine, labelled
from sandbox.errors import SandboxError, UsageError
from sandbox.names import EDGE, REGISTRY_PORT, Home
from sandbox.system import files, host_network

LOCAL = "127.0.0.1"
PREFERRED_HTTPS = (443, 8443)
PREFERRED_REGISTRY = 5001
HTTPS = ("edge: {ports: [%s]}", "--https-port %s")
EDGE_TCP = ("edge: {tcp: [{port: %s}]}", "")
REGISTRY = ("registry: {port: %s}", "--registry-port %s")


@contextmanager
def reserve(spec: Spec, home: Home, engine: Engine) -> Iterator[ResolvedSpec]:
    """Yield the spec with its ports chosen, which other commands leave alone during the block.

    Raises PortTaken and PortForbidden for the first port that is not available, UsageError for an address without IPv6
    and for a name of another sandbox.
    """
    if not host_network.is_supported(spec.edge.listen):
        raise UsageError(
            f"this machine cannot listen on {spec.edge.listen}: it has no IPv6",
            details="the kernel was started without it, or the sysctl net.ipv6.conf.lo.disable_ipv6 is 1",
            fix="in sandbox.yaml: edge: {listen: 127.0.0.1}   (or turn IPv6 on)",
            id="no-ipv6",
        )
    files.make_private_dir(home.state)
    with ExitStack() as stack:
        with edge_folder.alone(home.edge):  # no other command of the user chooses, or starts an edge, meanwhile
            if spec.cluster.supports.containers:
                labelled.require(engine, home.sandbox(spec.name))
            machine = Machine.inspect(spec.name, home, engine)
            resolved = _claimed(spec, machine, stack)
        yield resolved


def _claimed(spec: Spec, machine: Machine, held: ExitStack) -> ResolvedSpec:
    """Choose the ports of `spec` and claim them until `held` is closed; choose again where another user was faster.

    Raises PortTaken, PortForbidden and UsageError.
    """
    resolved = _resolve(spec, machine)
    while True:
        try:
            held.enter_context(_claim(resolved, machine))
        except (PortTaken, port_reservations.Contended):
            another = _resolve(spec, machine)
            if another == resolved:
                raise
            resolved = another
        else:
            return resolved


def _claim(spec: ResolvedSpec, machine: Machine) -> AbstractContextManager[None]:
    """Claim the ports of `spec` for a block. Raises PortTaken, PortForbidden, UsageError, and Contended on entry."""
    home = machine.home
    _require_names(spec, home)
    wanted = _wanted(spec, home)
    for one in wanted:
        for problem in problems(one, machine):
            raise problem
    claims = [(machine.claimed_by(one.owner, shared=bool(one.option)), one.bind.port) for one in wanted]
    return port_reservations.hold(home.claims, spec.name, claims)


def has_usual_https(home: Home) -> bool:
    """Tell whether a new sandbox can have the usual HTTPS ports, which sandboxes of one user share."""
    own = {port for route in routes.load(home.edge) for _, port in route.listen}
    return all(port in own or host_network.is_free(LOCAL, port) for port in PREFERRED_HTTPS)


def _require_names(spec: ResolvedSpec, home: Home) -> None:
    """Refuse names that another sandbox serves. Raises UsageError."""
    named = (*(one.host for one in spec.edge.hosts), *(one.host for one in spec.edge.tls))
    hosts = tuple(map(Host, named))
    mine = Route(
        spec.name, spec.domain, "", (), 0, hosts=hosts, aliases=lan_access.domains(spec.name, spec.edge.listen)
    )
    asked, *others = routes.merged((mine, *routes.load(home.edge)), routes.load_added(home.edge))
    routes.require_unclaimed(asked, others)


def resolve(spec: Spec, home: Home, engine: Engine) -> ResolvedSpec:
    """Return the spec with the ports that `up` would choose now; an existing sandbox keeps its own."""
    if isinstance(spec, ResolvedSpec):
        return spec
    return _resolve(spec, Machine.inspect(spec.name, home, engine))


def _resolve(spec: Spec, machine: Machine) -> ResolvedSpec:
    given = (spec.registry.port, *spec.edge.ports, *(one.port for one in spec.edge.tcp))
    fixed = {port for port in given if port != "auto"}
    remembered = _remembered_https(spec, machine)
    preferred = chain(PREFERRED_HTTPS, host_network.after(PREFERRED_HTTPS[-1]))
    usable = _usable(machine, spec.edge.listen, lambda bind: Wanted(EDGE, bind, *HTTPS))
    chosen: list[int] = []
    for before, usual, port in zip(remembered, preferred, spec.edge.ports, strict=False):
        chosen.append(_first(before, usual, fixed | set(chosen), usable) if port == "auto" else port)
    registry = spec.registry.port
    if registry == "auto":
        owner = machine.home.sandbox(spec.name).registry
        usable = _usable(machine, LOCAL, lambda bind: Wanted(owner, bind, *REGISTRY))
        registry = _first(_remembered_registry(spec, machine), PREFERRED_REGISTRY, fixed | set(chosen), usable)
    spoken_for = {*fixed, *chosen, registry}
    return ResolvedSpec.of(spec, registry=registry, https=tuple(chosen), tcp=_tcp(spec, machine, spoken_for))


def _tcp(spec: Spec, machine: Machine, spoken_for: set[int]) -> Sequence[int]:
    """Choose the ports of `tcp` that are `auto`: the port now routed to the Service, else the Service's own."""
    route = _route(spec, machine)
    before = {one.to: one.port for one in route.ports if not one.host} if route else {}
    usable = _usable(machine, spec.edge.listen, lambda bind: Wanted(EDGE, bind, *EDGE_TCP))
    spoken_for = spoken_for | {one.port for one in spec.edge.tcp if one.port != "auto"}
    chosen: list[int] = []
    for one in spec.edge.tcp:
        if one.port != "auto":
            chosen.append(one.port)
        else:
            chosen.append(_first(before.get(one.target), one.usual, spoken_for | set(chosen), usable))
    return chosen


def _first(remembered: int | None, preferred: int, spoken_for: set[int], usable: Callable[[int], bool]) -> int:
    before = () if remembered is None else (remembered,)
    for port in chain(before, (preferred,), host_network.after(preferred)):
        if port not in spoken_for and usable(port):
            return port
    raise SandboxError("no port of this machine is free", fix="stop some of the programs that listen")


def _usable(machine: Machine, address: str, wanted: Callable[[Bind], Wanted]) -> Callable[[int], bool]:
    """Return a function that tells whether the sandbox can have a port of that address, as it is `wanted`."""
    return lambda port: not any(problems(wanted(Bind(address, port)), machine))


def problems(wanted: Wanted, machine: Machine) -> Iterator[SandboxError]:
    """Yield why a part of the sandbox cannot have a port."""
    occupant = machine.occupant(wanted.owner, wanted.bind, shared=bool(wanted.option))
    if occupant:
        yield taken(wanted, occupant)
    problem = forbidden(wanted, machine)
    if problem:
        yield problem


def _wanted(spec: ResolvedSpec, home: Home) -> Sequence[Wanted]:
    https = spec.edge.ports if spec.takes_https_ports else ()
    edge = [Wanted(EDGE, Bind(spec.edge.listen, port), *HTTPS) for port in https]
    edge += [Wanted(EDGE, Bind(spec.edge.listen, one.port), *EDGE_TCP) for one in spec.edge.tcp]
    if spec.registry.external:
        return edge
    return [Wanted(home.sandbox(spec.name).registry, Bind(LOCAL, spec.registry.port), *REGISTRY), *edge]


def _remembered_https(spec: Spec, machine: Machine) -> Iterator[int | None]:
    """Yield the ports of the sandbox's route, in their order, and then None for ever."""
    route = _route(spec, machine)
    yield from (port for _, port in (route.listen if route else ()))
    while True:
        yield None


def _route(spec: Spec, machine: Machine) -> Route | None:
    return routes.find(routes.load(machine.home.edge), spec.name)


def registry_tunnel(spec: Spec, home: Home) -> int | None:
    """Return the port of this machine for the registry of a sandbox without containers, or None."""
    registry = routes.registry_of(home.edge, spec.name)
    return registry.port if registry else None


def _remembered_registry(spec: Spec, machine: Machine) -> int | None:
    """Return the port that the sandbox's registry container publishes, running or not, or that of its tunnel."""
    if not spec.cluster.supports.containers:
        return registry_tunnel(spec, machine.home)
    name = machine.home.sandbox(machine.name).registry
    container = next((one for one in machine.ours if one.name == name), None)
    binds = container.published.get(REGISTRY_PORT, frozenset()) if container else frozenset()
    return next((bind.port for bind in binds), None)
