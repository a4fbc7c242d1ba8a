"""Ports of this machine: chosen where the spec leaves them open (`auto`), claimed, and refused where they are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import chain
from pathlib import Path

from filelock import FileLock, Timeout

from sandbox.components.edge import container as edge_container
from sandbox.components.edge import edge_folder, lan_access, routes
from sandbox.components.edge.route import Host, Route
from sandbox.components.registry import container_step
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import Bind, Container, Engine, labelled
from sandbox.errors import SandboxError, UsageError
from sandbox.names import EDGE, LABEL, REGISTRY_PORT, Home
from sandbox.system import files, host_network
from sandbox.system.host_network import FORWARDER

LOCAL = "127.0.0.1"
PREFERRED_HTTPS = (443, 8443)
PREFERRED_REGISTRY = 5001
HTTPS = ("edge: {ports: [%s]}", "--https-port %s")
EDGE_TCP = ("edge: {tcp: [{port: %s}]}", "")
REGISTRY = ("registry: {port: %s}", "--registry-port %s")
PROJECT = "com.docker.compose.project"
UNKNOWN = "a process of another user"
PATIENCE = 5.0  # seconds; others hold the lock of a claim only for a moment


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
            resolved = _resolve(spec, machine)
            stack.enter_context(_claim(resolved, machine))
        yield resolved


def _claim(spec: ResolvedSpec, machine: Machine) -> AbstractContextManager[None]:
    """Claim the ports of `spec` for a block. Raises PortTaken, PortForbidden and UsageError."""
    home = machine.home
    _require_names(spec, home)
    wanted = _wanted(spec, home)
    for port in wanted:
        for problem in problems(port, machine):
            raise problem
    claims = [(machine.claimed_by(port.owner, shared=bool(port.option)), port.bind.port) for port in wanted]
    return hold(home.claims, spec.name, claims)


def _require_names(spec: ResolvedSpec, home: Home) -> None:
    """Refuse names that another sandbox serves. Raises UsageError."""
    named = (*(host.host for host in spec.edge.hosts), *(route.host for route in spec.edge.tls))
    hosts = tuple(map(Host, named))
    mine = Route(
        spec.name, spec.domain, "", (), 0, hosts=hosts, aliases=lan_access.domains(spec.name, spec.edge.listen)
    )
    routes.require_unclaimed(routes.with_added(home.edge, mine), routes.load(home.edge))


def resolve(spec: Spec, home: Home, engine: Engine) -> ResolvedSpec:
    """Return the spec with the ports that `up` would choose now; an existing sandbox keeps its own."""
    if isinstance(spec, ResolvedSpec):
        return spec
    return _resolve(spec, Machine.inspect(spec.name, home, engine))


def _resolve(spec: Spec, machine: Machine) -> ResolvedSpec:
    """Choose a port for each `auto`: the one that the sandbox has, else the usual one, else the next that is free."""
    route = routes.find(routes.load(machine.home.edge), spec.name)
    spoken_for = {spec.registry.port, *spec.edge.ports, *(port.port for port in spec.edge.tcp)}

    def choose(wanted: Wanted, before: int | None, usual: int) -> int:
        for port in chain(() if before is None else (before,), (usual,), host_network.after(usual)):
            at = replace(wanted, bind=Bind(wanted.bind.address, port))
            if port not in spoken_for and not any(problems(at, machine)):
                spoken_for.add(port)
                return port
        raise SandboxError("no port of this machine is free", fix="stop some of the programs that listen")

    https = Wanted(EDGE, Bind(spec.edge.listen, 0), *HTTPS)
    present = [port for _, port in (route.listen if route else ())]
    chosen: list[int] = []
    for number, port in enumerate(spec.edge.ports):
        before, usual = present[number] if number < len(present) else None, PREFERRED_HTTPS[min(number, 1)]
        chosen.append(choose(https, before, usual) if port == "auto" else port)
    registry = spec.registry.port
    if registry == "auto":
        owner = machine.home.sandbox(spec.name).registry
        registry = choose(
            Wanted(owner, Bind(LOCAL, 0), *REGISTRY), _remembered_registry(spec, machine), PREFERRED_REGISTRY
        )
    service = Wanted(EDGE, Bind(spec.edge.listen, 0), *EDGE_TCP)
    routed = {port.to: port.port for port in route.ports if not port.host} if route else {}
    tcp = [
        choose(service, routed.get(port.target), port.usual) if port.port == "auto" else port.port
        for port in spec.edge.tcp
    ]
    return ResolvedSpec.of(spec, registry=registry, https=tuple(chosen), tcp=tcp)


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
    edge += [Wanted(EDGE, Bind(spec.edge.listen, each.port), *EDGE_TCP) for each in spec.edge.tcp]
    if spec.registry.external:
        return edge
    return [Wanted(home.sandbox(spec.name).registry, Bind(LOCAL, spec.registry.port), *REGISTRY), *edge]


def registry_tunnel(spec: Spec, home: Home) -> int | None:
    """Return the port of this machine for the registry of a sandbox without containers, or None."""
    registry = routes.registry_of(home.edge, spec.name)
    return registry.port if registry else None


def _remembered_registry(spec: Spec, machine: Machine) -> int | None:
    """Return the port of the sandbox's registry container, running or not, else of its volume, or of its tunnel."""
    if not spec.cluster.supports.containers:
        return registry_tunnel(spec, machine.home)
    names = machine.home.sandbox(machine.name)
    container = next((each for each in machine.ours if each.name == names.registry), None)
    if container is None:
        port = (machine.engine.volume_labels(names.volume) or {}).get(container_step.PORT, "")
        return int(port) if port.isdigit() else None
    return next((bind.port for bind in container.published.get(REGISTRY_PORT, ())), None)


class PortTaken(SandboxError):
    """A port that the sandbox is to listen on belongs to another user, or to this user's sandbox `holder`."""

    id = "port-in-use"
    holder = ""


class PortForbidden(SandboxError):
    """A port that only root may listen on, where the engine does not run as root."""

    id = "port-forbidden"


@dataclass(frozen=True)
class Wanted:
    """A port that one part of a sandbox is to listen on.

    `owner` is what it is for: EDGE, or the container of a registry, whose port the edge serves too. `key` and `option`
    tell how another port is chosen in the spec and on the command line, each with a %s for the port; `option` is empty
    where there is none. Only a port for HTTPS, which has an option, can be shared by several sandboxes. A port that is
    added by a command has that, with a %s too.
    """

    owner: str
    bind: Bind
    key: str
    option: str
    command: str = ""


@dataclass(frozen=True)
class Occupant:
    """Who has a port, in words, what would free it, and which sandbox of this user it is, if any."""

    who: str
    remedy: str = "stop it"
    sandbox: str = ""


@dataclass(frozen=True)
class Machine:
    """The ports of the machine as the sandbox `name` finds them, listed once."""

    name: str
    home: Home
    engine: Engine
    ours: tuple[Container, ...]
    edge: str = EDGE
    listening: frozenset[Bind] = frozenset()

    @classmethod
    def inspect(cls, name: str, home: Home, engine: Engine) -> Machine:
        """List the containers that there are now, and where the edge listens."""
        ours, edge = labelled.containers(engine, home), labelled.edge(engine, home)
        return cls(name, home, engine, ours, edge, edge_container.listens(engine, home))

    def occupant(self, owner: str, bind: Bind, *, shared: bool = True) -> Occupant | None:
        """Return who keeps `owner` from listening there; None if no one does.

        The edge can have a `shared` port for several sandboxes, unless one of them has it for a Service or a registry.
        """
        shared = shared and owner == EDGE
        alone = self._neighbour(bind, lambda route: map(route.place, route.tcp_ports) if shared else route.takes)
        if alone:
            return alone
        for each in routes.load_registries(self.home.edge):
            if each.sandbox != self.name and each.port == bind.port and _meet(bind.address, each.place[0]):
                return _sandbox(each.sandbox)
        if starting := self._starting(bind.port, owner, shared=shared):
            return starting
        registry = routes.registry_of(self.home.edge, self.name)
        has_registry = registry is not None and Bind(*registry.place) == bind
        if bind in self.listening and has_registry == (owner != EDGE):
            return None
        container = self.edge if owner == EDGE else owner
        publishers = [each for each in self.ours if any(bind in binds for binds in each.published.values())]
        if any(publisher.name == container and (publisher.running or publisher.paused) for publisher in publishers):
            return None
        if other := next((each for each in publishers if each.name != container), None):
            return _container(other, self.home)
        if bind in self.listening:
            return Occupant(f"container {self.edge}")
        if host_network.is_free(bind.address, bind.port):
            return None
        return None if self._gives_up(bind.port) else self._stranger(bind.port)

    def claimed_by(self, owner: str, *, shared: bool) -> str:
        """Return the owner that a starting sandbox claims the port for: the edge, or the edge for it alone."""
        return owner if shared or owner != EDGE else f"{owner}+{self.name}"

    def _starting(self, port: int, owner: str, *, shared: bool) -> Occupant | None:
        name = claimant(self.home.claims, port, self.claimed_by(owner, shared=shared))
        return Occupant(f"sandbox '{name}', which is starting", "wait for it") if name else None

    def _neighbour(self, bind: Bind, places: Callable[[Route], Iterable[tuple[str, int]]]) -> Occupant | None:
        for route in routes.load(self.home.edge):
            theirs = () if route.name == self.name else places(route)
            if any(port == bind.port and _meet(at, bind.address) for at, port in theirs):
                return _sandbox(route.name)
        return None

    def _gives_up(self, port: int) -> bool:
        """Only this sandbox uses the port, at another address of the edge; so the edge can release it."""
        others = (route for route in routes.load(self.home.edge) if route.name != self.name)
        return any(port == bind.port for bind in self.listening) and all(
            port != theirs for route in others for _, theirs in route.listen
        )

    def _stranger(self, port: int) -> Occupant:
        publisher = self.engine.publisher(port)
        container = self.engine.container(publisher) if publisher else None
        if container:
            return _container(container, self.home)
        process = host_network.holder(port)
        # The edges of other users are in the machine's network, where the engine tells nothing of their ports.
        edges = (each for each in self.engine.containers(LABEL) if each.running and each.name.startswith(EDGE))
        theirs = next((edge for edge in edges if not labelled.is_ours(edge, self.home)), None)
        if theirs and (process is None or "haproxy" in str(process)):
            return Occupant(f"container {theirs.name}, {labelled.whose(theirs)}, or {process or UNKNOWN}")
        return Occupant(str(process), f"stop it (kill {process.pid})") if process else Occupant(UNKNOWN)


def _sandbox(name: str) -> Occupant:
    return Occupant(f"sandbox '{name}'", f"`sandbox down {name}`", name)


def _meet(address: str, other: str) -> bool:
    """Two addresses exclude each other at one port if they are equal, or if one of them means all addresses."""
    ours, theirs = ip_address(address), ip_address(other)
    return ours.version == theirs.version and (ours == theirs or ours.is_unspecified or theirs.is_unspecified)


def taken(wanted: Wanted, occupant: Occupant) -> PortTaken:
    """Return the error that names who has the port and suggests the next free one."""
    bind = wanted.bind
    free = host_network.next_free(bind.address, bind.port)
    spec = f"in sandbox.yaml: {wanted.key % free}; `auto` takes the next free one"
    if wanted.command:
        fix = f"use another port: {wanted.command % free}   (`auto` takes the next free one)"
    elif wanted.option:
        fix = f"{occupant.remedy}, or use another port: sandbox up {wanted.option % free}   ({spec})"
    else:
        fix = f"{occupant.remedy}, or use another port: {spec}"
    error = PortTaken(
        f"port {bind.port} on {bind.address} is taken",
        details=f"held by {occupant.who}; nothing was changed",
        fix=fix,
    )
    error.holder = occupant.sandbox
    return error


def _container(container: Container, home: Home) -> Occupant:
    sandbox, project = container.labels.get(LABEL), container.labels.get(PROJECT)
    if sandbox is not None and not labelled.is_ours(container, home):
        return Occupant(f"container {container.name}, {labelled.whose(container)}", "ask its user to stop it")
    if sandbox:
        return Occupant(f"container {container.name} of sandbox '{sandbox}'", f"`sandbox down {sandbox}`", sandbox)
    of = f" of project '{project}'" if project else ""
    return Occupant(
        f"container {container.name}{of}", "stop it" if container.name == EDGE else f"`docker stop {container.name}`"
    )


def forbidden(wanted: Wanted, machine: Machine) -> PortForbidden | None:
    """Return the error with its remedies when the port's owner may not listen there; None when it may."""
    bind, lowest = wanted.bind, host_network.first_unprivileged()
    if bind.port >= lowest or not machine.engine.facts().rootless or host_network.may_bind_all(FORWARDER):
        return None
    port = host_network.ALTERNATIVE
    option = f"sandbox up {wanted.option % port}" if wanted.option else f"in sandbox.yaml: {wanted.key % port}"
    return PortForbidden(
        f"port {bind.port} may only be used by root",
        details=f"the Docker Engine runs without root, and ports below {lowest} are root's "
        "(sysctl net.ipv4.ip_unprivileged_port_start)",
        fix=f"{wanted.command % port if wanted.command else option}\n"
        f"or allow it for all users: sudo sysctl net.ipv4.ip_unprivileged_port_start={bind.port}   "
        f"(to keep it: echo net.ipv4.ip_unprivileged_port_start={bind.port} | "
        "sudo tee /etc/sysctl.d/50-sandbox.conf)\n"
        f"or for the engine's {FORWARDER}: sudo setcap cap_net_bind_service=ep $(command -v {FORWARDER}) "
        "&& systemctl --user restart docker",
    )


@contextmanager
def hold(folder: Path, name: str, wanted: Iterable[tuple[str, int]]) -> Iterator[None]:
    """Claim ports, each for an owner, for the sandbox `name` during the block: other commands of the user leave them.

    A claim is a locked file, so it ends with the process that made it.
    """
    files.make_private_dir(folder)
    sweep(folder)
    with ExitStack() as stack:
        for owner, port in wanted:
            path = folder / f"{port}.{owner}.{name}"  # none of the three has a dot
            stack.callback(path.unlink, missing_ok=True)
            stack.enter_context(FileLock(path, timeout=PATIENCE, mode=0o600))
        yield


def sweep(folder: Path) -> None:
    """Remove the claims of commands that were killed."""
    for path in folder.glob("*.*.*"):
        with suppress(Timeout), FileLock(path, timeout=0, mode=0o600):
            path.unlink(missing_ok=True)


def claimant(folder: Path, port: int, owner: str) -> str | None:
    """Return the sandbox for which another owner has claimed the port; sandboxes may share a port of one owner."""
    for path in folder.glob(f"{port}.*"):
        _, theirs, name = path.name.split(".")
        if theirs != owner and _is_held(path):
            return name
    return None


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0, mode=0o600):
            return False
    except Timeout:
        return True
