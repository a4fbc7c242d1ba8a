"""Which ports of this machine are taken, by a container, a starting sandbox or a program, or forbidden."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address

from sandbox.app import port_reservations
from sandbox.components.edge import routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.relay import Relay
from sandbox.components.edge.route import Route
from sandbox.components.network import socket_handover
from sandbox.engine import Bind, Container, Engine, labelled, reach
from sandbox.errors import SandboxError
from sandbox.names import EDGE, FRONTEND, HOLDER, LABEL, RELAY, RETIRED, Home
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

    `owner` is what listens there: a container's name, or RELAY. `key` and `option` tell how another port is
    chosen in the spec and on the command line, each with a %s for the port; `option` is empty where there is none. Only
    a port for HTTPS, which has an option, can be shared by several sandboxes. A port that is added by a command has
    that, with a %s too.
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

    @classmethod
    def inspect(cls, name: str, home: Home, engine: Engine) -> Machine:
        """List the containers that there are now."""
        # A replaced edge has no port any more, only connections.
        found = tuple(one for one in labelled.containers(engine, home) if RETIRED not in one.name)
        return cls(name, home, engine, found, labelled.edge(engine, home))

    def occupant(self, owner: str, bind: Bind, *, shared: bool = True) -> Occupant | None:
        """Return who keeps `owner` from listening there; None if no one does.

        The edge can have a `shared` port for several sandboxes, unless one of them has it for a Service.
        """
        if owner == EDGE:
            alone = self._neighbour(bind, lambda route: map(route.place, route.tcp_ports) if shared else route.takes)
            if alone:
                return alone
        if starting := self._starting(bind.port, owner, shared=shared):
            return starting
        if self._is_displaced(owner, bind.port):
            return None
        promised = next((route for route in self._others(owner) if (bind.address, bind.port) in route.takes), None)
        if promised:
            return _sandbox(promised.name)
        container = self.edge if owner == EDGE else owner
        own = (container, container + FRONTEND, container + HOLDER)
        publishers = [one for one in self.ours if any(bind in binds for binds in one.published.values())]
        if any(one.name in own and (one.running or one.paused) for one in publishers):
            return None
        other = next((one for one in publishers if one.name not in own), None)
        if other:
            return _container(other, self.home)
        if publishers and not self.engine.shares_network():
            _await_forwarder(bind)
        if host_network.is_free(bind.address, bind.port):
            return self._promised(bind.port)
        return None if self._is_own(owner, bind) else self._stranger(bind.port)

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

    def _others(self, owner: str) -> Iterator[Route]:
        """Yield the routes of the other kind of edge: both kinds cannot share a port."""
        for other, folder in ((EDGE, self.home.edge), (RELAY, self.home.relay)):
            if other != owner:
                yield from (route for route in routes.load(folder) if route.name != self.name)

    def _is_own(self, owner: str, bind: Bind) -> bool:
        """Tell whether the owner has the port already, or will give it up for this sandbox."""
        if owner == RELAY:
            return Relay(self.home).listens_on(bind)
        return owner == EDGE and (self._gives_up(bind.port) or self._is_left_over(bind))

    def _is_left_over(self, bind: Bind) -> bool:
        """Tell whether the port is held for an edge that is gone or not there yet; the next edge takes it over."""
        box = EdgeContainer(self.engine, self.home, self.edge)
        return any(one.name == box.holder and one.running for one in self.ours) and bind in socket_handover.held(
            box.folder
        )

    def _is_displaced(self, owner: str, port: int) -> bool:
        """Tell whether the other kind of edge has the port for this sandbox alone: `up` removes that first."""
        if owner not in (EDGE, RELAY):
            return False
        displaced = self.home.relay if owner == EDGE else self.home.edge
        served = [route.name for route in routes.load(displaced) if port in {number for _, number in route.takes}]
        if served != [self.name]:
            return False
        return self._gives_up(port) if owner == RELAY else Relay(self.home).has(port)

    def _gives_up(self, port: int) -> bool:
        """Tell whether the edge has the port on another address for this sandbox alone, so that it can release it."""
        edge = next((one for one in self.ours if one.name == self.edge and one.running), None)
        held = {bind.port for binds in edge.published.values() for bind in binds} if edge else set()
        others = (route for route in routes.load(self.home.edge) if route.name != self.name)
        return port in held and all(port != theirs for route in others for _, theirs in route.listen)

    def _stranger(self, port: int) -> Occupant:
        publisher = self.engine.publisher(port)
        container = self.engine.container(publisher) if publisher else None
        if container:
            return _container(container, self.home)
        found = host_network.holder(port)
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
    if wanted.owner == RELAY:
        if host_network.is_permitted(bind.address, bind.port):
            return None
        who, more = "the edge is your own process", ""
    else:
        engine = machine.engine
        if bind.port < reach.PRIVILEGED and (known := reach.known(engine, machine.home)) and not known.low_ports:
            return _unforwarded(wanted)
        if bind.port >= lowest or not engine.facts().rootless or host_network.may_bind_all(FORWARDER):
            return None
        who = "the Docker Engine runs without root"
        more = (
            f"\nor for the engine's {FORWARDER}: sudo setcap cap_net_bind_service=ep $(command -v {FORWARDER}) "
            "&& systemctl --user restart docker"
        )
    return PortForbidden(
        f"port {bind.port} may only be used by root",
        details=f"{who}, and ports below {lowest} are root's (sysctl net.ipv4.ip_unprivileged_port_start)",
        fix=lambda one: (
            f"{_elsewhere(one)}\n"
            f"or allow it for all users: sudo sysctl net.ipv4.ip_unprivileged_port_start={bind.port}   "
            f"(to keep it: echo net.ipv4.ip_unprivileged_port_start={bind.port} | "
            f"sudo tee /etc/sysctl.d/50-sandbox.conf){more}"
        ),
        wanted=wanted,
    )


def _unforwarded(wanted: Wanted) -> PortForbidden:
    return PortForbidden(
        f"port {wanted.bind.port} does not arrive on this machine",
        details=f"it was tried: the engine's machine forwards its ports to this one, but none below {reach.PRIVILEGED}",
        fix=lambda one: (
            f"{_elsewhere(one)}\nor let the tool of the engine's machine use privileged ports "
            "(Docker Desktop: Settings, Advanced), then run: sandbox doctor --fix"
        ),
        wanted=wanted,
    )
