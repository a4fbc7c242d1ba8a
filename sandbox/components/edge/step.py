"""The machine's edge: the proxy that brings 443 and 8443 of this machine to every sandbox's ingress."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import container, edge_folder, extra_routes, routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.routes import Host, Route
from sandbox.engine import Bind, Container, Engine
from sandbox.errors import SandboxError
from sandbox.names import EDGE_LEAF, Names
from sandbox.step import State, Status, Work
from sandbox.system.wait import wait_until


@dataclass(frozen=True)
class EdgeStep:
    """One HAProxy container for all sandboxes; this step owns one route in it, and the last route takes it along.

    It leads to `nodes` on `network`, asked when it is needed, at each of which the ingress answers, for `proof` too.

    A port that only a sandbox now gone asked for is given back as soon as no one is connected: at its `undo` or at the
    next `apply` of any other.
    """

    engine: Engine
    names: Names
    nodes: Callable[[], tuple[str, ...]]
    image: str
    domain: str
    binds: tuple[Bind, ...]
    hosts: tuple[Host, ...] = ()
    aliases: tuple[str, ...] = ()
    network: str = ""
    proof: str = ""
    name: str = "edge"
    requires: tuple[str, ...] = ("images", "network", "certificates")

    @property
    def title(self) -> str:
        return "Edge on " + ", ".join(f"{bind.address}:{bind.port}" for bind in self.binds)

    def check(self) -> Status:
        folder = self.names.home.edge
        if not folder.exists():
            return Status(State.ABSENT)
        with edge_folder.alone(folder):  # what another sandbox is about to change is no drift
            return self._look(folder)

    def _look(self, folder: Path) -> Status:
        known = routes.load(folder)
        mine = routes.find(known, self.names.name)
        found = self._box.find()
        if mine is None or found is None:
            return Status(State.ABSENT)
        if mine != self._route(mine.since):
            return Status(State.DRIFTED, "the route leads elsewhere")
        reason = self._box.drift(found, self.image, known)
        if reason is None and self._box.missing((mine,)):
            reason = f"is not on the network {mine.network}"
        if reason is None and self._certificate() != edge_folder.read_key(folder, self.names.name):
            reason = "serves another certificate than the present one"
        if reason is None and not edge_folder.is_current(folder, known):
            reason = "its configuration is not the present routes'"
        return Status(State.DRIFTED, reason) if reason else Status(State.READY, f"*.{self.domain}")

    def apply(self, work: Work) -> None:
        self.take_in(work.say)

    def take_in(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Let the edge have this sandbox's route, hosts added by hand and certificate as they are now."""
        folder = self.names.home.edge
        with edge_folder.alone(folder):
            mine = routes.find(routes.load(folder), self.names.name)
            route = self._route(mine.since if mine else time.time())
            # Preflight has looked; another sandbox may have come up since.
            first, *others = extra_routes.merged((route, *routes.load(folder)), extra_routes.load(folder))
            routes.require_unclaimed(first, others)
            certificate = self._certificate()
            if certificate:
                edge_folder.save_key(folder, self.names.name, certificate)
            routes.save(folder, route)
            known = routes.load(folder)
            found = self._box.find()
            if found is None or self._box.drift(found, self.image, known) or self._may_give_back(found, known):
                if found and found.running and self._box.cuts():
                    say("open connections of all sandboxes end: the engine forwards the edge's ports")
                self._start(known)
            else:
                self._box.join(known)
                self._box.follow(known)

    def undo(self) -> bool:
        folder = self.names.home.edge
        with edge_folder.alone(folder):
            mine = routes.find(routes.load(folder), self.names.name)
            removed = routes.remove(folder, self.names.name)
            rest = routes.load(folder)
            if not rest:
                edge_folder.write(folder, rest)
                return self._box.remove() or removed
            found = self._box.find()
            if found is None or not found.running:
                edge_folder.write(folder, rest)
            elif self._may_give_back(found, rest):
                self._start(rest)
            else:
                self._box.follow(rest)
            left = {self._network, *((mine.network,) if mine else ())}
            for network in left - {route.network for route in rest}:
                self._box.leave(network)
            return removed

    def _may_give_back(self, found: Container, known: Sequence[Route]) -> bool:
        """Whether there are ports that no sandbox asks for, and no connection ends when the container is replaced."""
        return bool(container.surplus(found, known)) and not self._box.cuts()

    def _start(self, known: Sequence[Route]) -> None:
        self._box.start(self.image, known)
        wait_until(self._silence, what=self.title, timeout=15, pause=0.05)

    @property
    def _box(self) -> EdgeContainer:
        return EdgeContainer.of(self.engine, self.names.home)

    def _route(self, since: float) -> Route:
        listen = tuple((bind.address, bind.port) for bind in self.binds)
        first, *others = self.nodes()
        return Route(
            self.names.name,
            self.domain,
            first,
            listen,
            since,
            tuple(others),
            self.hosts,
            self.aliases,
            network=self._network,
            proof=self.proof,
        )

    @property
    def _network(self) -> str:
        return self.network or self.names.network

    def _certificate(self) -> bytes | None:
        """Key and chain for the hosts that end at the edge, if there are any."""
        if not extra_routes.ending(self.hosts, extra_routes.load(self.names.home.edge), self.names.name, self.aliases):
            return None
        pair = Keystore(self.names.keys).leaf_files(EDGE_LEAF).read()
        return pair.key_pem + pair.cert_pem

    def _silence(self) -> str | None:
        found = self._box.find()
        if found is None or not found.running:
            raise SandboxError("the edge stopped", details=self.engine.logs(self._box.name), id="stopped")
        return None if self._box.network in found.addresses else "no address yet"
