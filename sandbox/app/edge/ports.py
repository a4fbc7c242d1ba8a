"""Ports of this machine: chosen where the spec leaves them open (`auto`), claimed, and refused where they are taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import chain
from pathlib import Path

from filelock import FileLock, Timeout

from sandbox.components.edge import container as edge_container
from sandbox.components.edge import lan_access, routes
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
UNKNOWN = "a process of another user"
PATIENCE = 5.0  # seconds; others hold the lock of a claim only for a moment


@dataclass(frozen=True)
class Wanted:
    """A port that `owner` is to listen on: EDGE, or the container of a registry, whose port the edge serves too.

    `key` (in the spec), `option` and `command` tell how another port is chosen, each with a %s for the port.
    """

    owner: str
    bind: Bind
    key: str
    option: str
    command: str = ""

    @property
    def is_shared(self) -> bool:
        return self.owner == EDGE and bool(self.option)  # by several sandboxes: one for HTTPS

    def choice(self, port: int) -> str:
        in_spec = f"in sandbox.yaml: {self.key % port}"
        if self.command:
            return self.command % port
        return f"sandbox up {self.option % port}   ({in_spec})" if self.option else in_spec


@dataclass(frozen=True)
class Occupant:
    """Who has a port, in words, and what would free it."""

    who: str
    remedy: str = "stop it"


@contextmanager
def reserve(spec: Spec, home: Home, engine: Engine) -> Iterator[ResolvedSpec]:
    """Yield the spec with its ports chosen, which other commands leave alone during the block.

    Raises SandboxError for the first port that is not available, UsageError for an address without IPv6 and for a name
    of another sandbox.
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
        with routes.alone(home.edge):  # no other command of the user chooses, or starts an edge, meanwhile
            if spec.cluster.supports.containers:
                labelled.require(engine, home.sandbox(spec.name))
            machine = Machine.inspect(spec.name, home, engine)
            resolved = _resolve(spec, machine)
            _require_free_names(resolved, home)
            wanted: list[Wanted] = []
            if not resolved.registry.external:
                registry = Bind(LOCAL, resolved.registry.port)
                wanted.append(Wanted(home.sandbox(spec.name).registry, registry, *REGISTRY))
            if resolved.takes_https_ports:
                wanted += [Wanted(EDGE, Bind(spec.edge.listen, port), *HTTPS) for port in resolved.edge.ports]
            wanted += [Wanted(EDGE, Bind(spec.edge.listen, each.port), *EDGE_TCP) for each in resolved.edge.tcp]
            for problem in chain.from_iterable(problems(port, machine) for port in wanted):
                raise problem
            claims = [port.bind.port for port in wanted if not port.is_shared]
            stack.enter_context(hold(home.claims, spec.name, claims))
        yield resolved


def _require_free_names(spec: ResolvedSpec, home: Home) -> None:
    named = (*(host.host for host in spec.edge.hosts), *(route.host for route in spec.edge.tls))
    aliases = lan_access.domains(spec.name, spec.edge.listen)
    mine = Route(spec.name, spec.domain, "", (), 0, hosts=tuple(map(Host, named)), aliases=aliases)
    routes.require_unclaimed(routes.with_added(home.edge, mine), routes.load(home.edge))


def resolve(spec: Spec, home: Home, engine: Engine) -> ResolvedSpec:
    """Return the spec with the ports that `up` would choose now; an existing sandbox keeps its own."""
    return spec if isinstance(spec, ResolvedSpec) else _resolve(spec, Machine.inspect(spec.name, home, engine))


def _resolve(spec: Spec, machine: Machine) -> ResolvedSpec:
    route = routes.find(routes.load(machine.home.edge), spec.name)
    spoken_for = {spec.registry.port, *spec.edge.ports, *(port.port for port in spec.edge.tcp)}

    def choose(wanted: Wanted, before: int | None, usual: int) -> int:
        for port in chain(() if before is None else (before,), (usual,), host_network.after(usual)):
            at = replace(wanted, bind=Bind(wanted.bind.address, port))
            if port not in spoken_for and not any(problems(at, machine)):
                spoken_for.add(port)
                return port
        raise SandboxError("no port of this machine is free", fix="stop some of the programs that listen")

    listen = Bind(spec.edge.listen, 0)
    present = [port for _, port in (route.listen if route else ())]
    https: list[int] = []
    for number, port in enumerate(spec.edge.ports):
        before, usual = present[number] if number < len(present) else None, PREFERRED_HTTPS[min(number, 1)]
        https.append(choose(Wanted(EDGE, listen, *HTTPS), before, usual) if port == "auto" else port)
    registry = spec.registry.port
    if registry == "auto":
        wanted = Wanted(machine.home.sandbox(spec.name).registry, Bind(LOCAL, 0), *REGISTRY)
        registry = choose(wanted, _present_registry_port(spec, machine), PREFERRED_REGISTRY)
    routed = {port.to: port.port for port in route.ports if not port.host} if route else {}
    tcp = [
        choose(Wanted(EDGE, listen, *EDGE_TCP), routed.get(port.target), port.usual)
        if port.port == "auto"
        else port.port
        for port in spec.edge.tcp
    ]
    return ResolvedSpec.of(spec, registry=registry, https=tuple(https), tcp=tcp)


def _present_registry_port(spec: Spec, machine: Machine) -> int | None:
    names = machine.home.sandbox(spec.name)
    if not spec.cluster.supports.containers:
        tunnel = routes.registry_of(machine.home.edge, spec.name)
        return tunnel.port if tunnel else None
    container = next((each for each in machine.ours if each.name == names.registry), None)
    if container:
        return next((bind.port for bind in container.published.get(REGISTRY_PORT, ())), None)
    port = (machine.engine.volume_labels(names.volume) or {}).get(container_step.PORT, "")
    return int(port) if port.isdigit() else None


def problems(wanted: Wanted, machine: Machine) -> Iterator[SandboxError]:
    """Yield why a part of the sandbox cannot have a port."""
    port, lowest = wanted.bind.port, host_network.first_unprivileged()
    if occupant := machine.occupant(wanted):
        choice = wanted.choice(host_network.next_free(wanted.bind.address, port))
        yield SandboxError(
            f"port {port} on {wanted.bind.address} is taken",
            details=f"held by {occupant.who}; nothing was changed",
            fix=f"{occupant.remedy}, or use another port: {choice}; `auto` takes the next free one",
            id="port-in-use",
        )
    if port < lowest and machine.engine.facts().rootless and not host_network.may_bind_all(FORWARDER):
        yield SandboxError(
            f"port {port} may only be used by root",
            details=f"the Docker Engine runs without root, and ports below {lowest} are root's "
            "(sysctl net.ipv4.ip_unprivileged_port_start)",
            fix=f"{wanted.choice(host_network.ALTERNATIVE)}\n"
            f"or allow it for all users: sudo sysctl net.ipv4.ip_unprivileged_port_start={port}   "
            "(in /etc/sysctl.d to last)",
            id="port-forbidden",
        )


@dataclass(frozen=True)
class Machine:
    """The ports of the machine as the sandbox `name` finds them, listed once."""

    name: str
    home: Home
    engine: Engine
    ours: tuple[Container, ...]
    edge: str
    listening: frozenset[Bind]

    @classmethod
    def inspect(cls, name: str, home: Home, engine: Engine) -> Machine:
        ours, edge = labelled.containers(engine, home), labelled.edge(engine, home)
        return cls(name, home, engine, ours, edge, edge_container.listens(engine, home))

    def occupant(self, wanted: Wanted) -> Occupant | None:
        """Return who keeps the owner from listening there; None if no one does.

        The edge can have a shared port for several sandboxes, unless one of them has it for a Service or a registry.
        """
        owner, bind = wanted.owner, wanted.bind
        others = [route for route in routes.load(self.home.edge) if route.name != self.name]
        for route in others:
            places = map(route.place, route.tcp_ports) if wanted.is_shared else route.takes
            if any(port == bind.port and _meet(address, bind.address) for address, port in places):
                return _sandbox(route.name)
        registries = routes.REGISTRIES.load(self.home.edge)
        for each in registries:
            if each.sandbox != self.name and each.port == bind.port and _meet(bind.address, each.place[0]):
                return _sandbox(each.sandbox)
        if starting := claimant(self.home.claims, bind.port, self.name):
            return Occupant(f"sandbox '{starting}', which is starting", "wait for it")
        has_registry = any(each.sandbox == self.name and Bind(*each.place) == bind for each in registries)
        if bind in self.listening and has_registry == (owner != EDGE):
            return None
        # Where the edge has the port at another address, for this sandbox alone, it can release it.
        gives_up = any(bind.port == each.port for each in self.listening) and all(
            bind.port != port for route in others for _, port in route.listen
        )
        return self._program(owner, bind, gives_up=gives_up)

    def _program(self, owner: str, bind: Bind, *, gives_up: bool) -> Occupant | None:
        container = self.edge if owner == EDGE else owner
        publishers = [each for each in self.ours if any(bind in binds for binds in each.published.values())]
        if any(each.name == container and (each.running or each.paused) for each in publishers):
            return None
        if other := next((each for each in publishers if each.name != container), None):
            return _container(other, self.home)
        if bind in self.listening:
            return Occupant(f"container {self.edge}")
        if gives_up or host_network.is_free(bind.address, bind.port):
            return None
        publisher = self.engine.publisher(bind.port)
        if stranger := self.engine.container(publisher) if publisher else None:
            return _container(stranger, self.home)
        process = host_network.holder(bind.port)
        # The edges of other users are in the machine's network, where the engine tells nothing of their ports.
        edges = (each for each in self.engine.containers(LABEL) if each.running and each.name.startswith(EDGE))
        theirs = next((edge for edge in edges if not labelled.is_ours(edge, self.home)), None)
        if theirs and (process is None or "haproxy" in str(process)):
            return Occupant(f"container {theirs.name}, {labelled.whose(theirs)}, or {process or UNKNOWN}")
        return Occupant(str(process), f"stop it (kill {process.pid})") if process else Occupant(UNKNOWN)


def _sandbox(name: str) -> Occupant:
    return Occupant(f"sandbox '{name}'", f"`sandbox down {name}`")


def _container(container: Container, home: Home) -> Occupant:
    sandbox, project = container.labels.get(LABEL), container.labels.get("com.docker.compose.project")
    if sandbox is not None and not labelled.is_ours(container, home):
        return Occupant(f"container {container.name}, {labelled.whose(container)}", "ask its user to stop it")
    if sandbox:
        return Occupant(f"container {container.name} of sandbox '{sandbox}'", f"`sandbox down {sandbox}`")
    of = f" of project '{project}'" if project else ""
    remedy = "stop it" if container.name == EDGE else f"`docker stop {container.name}`"
    return Occupant(f"container {container.name}{of}", remedy)


def _meet(address: str, other: str) -> bool:
    ours, theirs = ip_address(address), ip_address(other)
    return ours.version == theirs.version and (ours == theirs or ours.is_unspecified or theirs.is_unspecified)


@contextmanager
def hold(folder: Path, name: str, ports: Iterable[int]) -> Iterator[None]:
    """Claim ports for the sandbox `name` during the block: other commands of the user leave them.

    A claim is a locked file, so it ends with the process that made it.
    """
    files.make_private_dir(folder)
    sweep(folder)
    with ExitStack() as stack:
        for port in ports:
            path = folder / f"{port}.{name}"
            stack.callback(path.unlink, missing_ok=True)
            stack.enter_context(FileLock(path, timeout=PATIENCE, mode=0o600))
        yield


def sweep(folder: Path) -> None:
    """Remove the claims of commands that were killed."""
    for path in folder.glob("*.*"):
        with suppress(Timeout), FileLock(path, timeout=0, mode=0o600):
            path.unlink(missing_ok=True)


def claimant(folder: Path, port: int, name: str) -> str | None:
    """Return another sandbox than `name` for which a running command has claimed the port."""
    for path in folder.glob(f"{port}.*"):
        other = path.name.partition(".")[2]
        if other != name:
            try:
                with FileLock(path, timeout=0, mode=0o600):
                    continue
            except Timeout:
                return other
    return None
