"""Which ports of this machine are taken, by a container, a starting sandbox or a program, or forbidden."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address

from sandbox.app import port_reservations
from sandbox.components.edge import container as edge_container
from sandbox.components.edge import routes
from sandbox.components.edge.route import Route
from sandbox.engine import Bind, Container, Engine, labelled
from sandbox.errors import SandboxError
from sandbox.names import EDGE, LABEL, Home
from sandbox.system import host_network
from sandbox.system.host_network import FORWARDER
from sandbox.system.wait import WaitTimeout, wait_until

PROJECT = "com.docker.compose.project"
UNKNOWN = "a process of another user"
LETS_GO = 5.0  # seconds; such tools look every few seconds which ports there are


class PortRefused(SandboxError):
    """A port that the sandbox cannot listen on; `in_spec` is the fix for a command without options for ports."""

    def __init__(self, brief: str, *, details: str, fix: Callable[[Wanted], str], wanted: Wanted) -> None:
        super().__init__(brief, details=details, fix=fix(wanted))
        self.in_spec = fix(replace(wanted, option=""))


class PortTaken(PortRefused):
    """A port that the sandbox is to listen on belongs to another user, or to this user's sandbox `holder`."""

    id = "port-in-use"
    holder = ""


class PortForbidden(PortRefused):
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
        for one in routes.load_registries(self.home.edge):
            if one.sandbox != self.name and one.port == bind.port and _meet(bind.address, one.place[0]):
                return _sandbox(one.sandbox)
        if starting := self._starting(bind.port, owner, shared=shared):
            return starting
        registry = routes.registry_of(self.home.edge, self.name)
        has_registry = registry is not None and Bind(*registry.place) == bind
        if bind in self.listening and has_registry == (owner != EDGE):
            return None
        container = self.edge if owner == EDGE else owner
        publishers = [one for one in self.ours if any(bind in binds for binds in one.published.values())]
        if any(one.name == container and (one.running or one.paused) for one in publishers):
            return None
        if other := next((one for one in publishers if one.name != container), None):
            return _container(other, self.home)
        if bind in self.listening:
            return Occupant(f"container {self.edge}")
        if publishers and not self.engine.shares_network():
            _await_forwarder(bind)
        if host_network.is_free(bind.address, bind.port):
            return self._promised(bind.port)
        return None if self._gives_up(bind.port) else self._stranger(bind.port)

    def claimed_by(self, owner: str, *, shared: bool) -> str:
        """Return the owner that a starting sandbox claims the port for: the edge, or the edge for it alone."""
        return owner if shared or owner != EDGE else f"{owner}+{self.name}"

    def _starting(self, port: int, owner: str, *, shared: bool) -> Occupant | None:
        """Return another sandbox of this user that is about to open the port."""
        name = port_reservations.claimant(self.home.claims, port, self.claimed_by(owner, shared=shared))
        return Occupant(f"sandbox '{name}', which is starting", "wait for it") if name else None

    def _promised(self, port: int) -> Occupant | None:
        """Return another user's sandbox that is about to open the port."""
        who = port_reservations.promised_to(self.home.claims, port)
        return Occupant(who, "wait for it") if who else None

    def _neighbour(self, bind: Bind, places: Callable[[Route], Iterable[tuple[str, int]]]) -> Occupant | None:
        """Return another sandbox of the same edge that has the port among its `places`."""
        for route in routes.load(self.home.edge):
            theirs = () if route.name == self.name else places(route)
            if any(port == bind.port and _meet(at, bind.address) for at, port in theirs):
                return _sandbox(route.name)
        return None

    def _gives_up(self, port: int) -> bool:
        """Tell whether the edge has the port on another address for this sandbox alone, so that it can release it."""
        others = (route for route in routes.load(self.home.edge) if route.name != self.name)
        return any(port == bind.port for bind in self.listening) and all(
            port != theirs for route in others for _, theirs in route.listen
        )

    def _stranger(self, port: int) -> Occupant:
        publisher = self.engine.publisher(port)
        container = self.engine.container(publisher) if publisher else None
        if container:
            return _container(container, self.home)
        found = host_network.holder(port)
        # The edges of other users are in the machine's network, where the engine tells nothing of their ports.
        edges = (one for one in self.engine.containers(LABEL) if one.running and one.name.startswith(EDGE))
        theirs = next((one for one in edges if not labelled.is_ours(one, self.home)), None)
        if theirs and (found is None or "haproxy" in str(found)):
            return Occupant(f"container {theirs.name}, {labelled.whose(theirs)}, or {found or UNKNOWN}")
        return Occupant(str(found), f"stop it (kill {found.pid})") if found else Occupant(UNKNOWN)


def _await_forwarder(bind: Bind) -> None:
    """Wait until the tool of the engine's machine no longer forwards the port of a container that has stopped."""
    with suppress(WaitTimeout):  # then another program has it
        wait_until(
            lambda: None if host_network.is_free(bind.address, bind.port) else "taken",
            what=str(bind),
            timeout=LETS_GO,
            pause=0.1,
        )


def _sandbox(name: str) -> Occupant:
    return Occupant(f"sandbox '{name}'", f"`sandbox down {name}`", name)


def _meet(one: str, other: str) -> bool:
    """Tell whether a port can be opened on only one of two addresses: they are equal, or one means all."""
    ours, theirs = ip_address(one), ip_address(other)
    return ours.version == theirs.version and (ours == theirs or ours.is_unspecified or theirs.is_unspecified)


def taken(wanted: Wanted, occupant: Occupant) -> PortTaken:
    """Return the error that names who has the port and suggests the next free one."""
    bind = wanted.bind
    free = host_network.next_free(bind.address, bind.port)
    remedy = "" if wanted.command else f"{occupant.remedy}, or "
    error = PortTaken(
        f"port {bind.port} on {bind.address} is taken",
        details=f"held by {occupant.who}; nothing was changed",
        fix=lambda one: f"{remedy}use another port: {_another(one, free)}",
        wanted=wanted,
    )
    error.holder = occupant.sandbox
    return error


def _elsewhere(wanted: Wanted) -> str:
    port = host_network.ALTERNATIVE
    if wanted.command:
        return wanted.command % port
    return f"sandbox up {wanted.option % port}" if wanted.option else f"in sandbox.yaml: {wanted.key % port}"


def _another(wanted: Wanted, port: int) -> str:
    if wanted.command:
        return f"{wanted.command % port}   (`auto` takes the next free one)"
    where = f"in sandbox.yaml: {wanted.key % port}; `auto` takes the next free one"
    return f"sandbox up {wanted.option % port}   ({where})" if wanted.option else where


def _container(found: Container, home: Home) -> Occupant:
    sandbox, project = found.labels.get(LABEL), found.labels.get(PROJECT)
    if sandbox is not None and not labelled.is_ours(found, home):
        return Occupant(f"container {found.name}, {labelled.whose(found)}", "ask its user to stop it")
    if sandbox:
        return Occupant(f"container {found.name} of sandbox '{sandbox}'", f"`sandbox down {sandbox}`", sandbox)
    of = f" of project '{project}'" if project else ""
    return Occupant(f"container {found.name}{of}", "stop it" if found.name == EDGE else f"`docker stop {found.name}`")


def forbidden(wanted: Wanted, machine: Machine) -> PortForbidden | None:
    """Return the error with its remedies when the port's owner may not listen there; None when it may."""
    bind, lowest = wanted.bind, host_network.first_unprivileged()
    if bind.port >= lowest or not machine.engine.facts().rootless or host_network.may_bind_all(FORWARDER):
        return None
    more = (
        f"\nor for the engine's {FORWARDER}: sudo setcap cap_net_bind_service=ep $(command -v {FORWARDER}) "
        "&& systemctl --user restart docker"
    )
    return PortForbidden(
        f"port {bind.port} may only be used by root",
        details=f"the Docker Engine runs without root, and ports below {lowest} are root's "
        "(sysctl net.ipv4.ip_unprivileged_port_start)",
        fix=lambda one: (
            f"{_elsewhere(one)}\n"
            f"or allow it for all users: sudo sysctl net.ipv4.ip_unprivileged_port_start={bind.port}   "
            f"(to keep it: echo net.ipv4.ip_unprivileged_port_start={bind.port} | "
            f"sudo tee /etc/sysctl.d/50-sandbox.conf){more}"
        ),
        wanted=wanted,
    )
