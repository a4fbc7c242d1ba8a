"""The edge as sandboxes use it: each publishes its route, and the container and its files follow all routes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import edge_folder, published_ports, routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.route import Route
from sandbox.engine import Container, Engine, labelled
from sandbox.errors import SandboxError
from sandbox.names import EDGE_LEAF, Names
from sandbox.step import State, Status
from sandbox.system.wait import wait_until

NOT_RUNNING = "the edge is not running; `sandbox up` starts it"
TIMEOUT = 15.0  # seconds for the container to get an address


@dataclass(frozen=True)
class Edge:
    """The one HAProxy container of `image`, as the sandbox `names` uses it; it is removed with the last route.

    A port that only a removed sandbox asked for is given up as soon as no client is connected: when that sandbox
    withdraws its route, or when another one publishes its own.
    """

    engine: Engine
    names: Names
    image: str

    @classmethod
    def running(cls, engine: Engine, names: Names) -> Edge | None:
        """Return the edge with the image that it runs now; None where it does not run."""
        found = EdgeContainer.of(engine, names.home).find()
        return cls(engine, names, found.image) if found and found.running else None

    @property
    def folder(self) -> Path:
        """Return the folder of its files."""
        return self.names.home.edge

    def status(self, route: Route) -> Status:
        """Compare the container and its files with the existing routes, and this sandbox's with `route`."""
        if not self.folder.exists():
            return Status(State.ABSENT)
        with suppress(OSError, SandboxError):  # another command may replace or remove files meanwhile
            status = self._compared(route)
            if status.state is State.READY:
                return status
        with edge_folder.alone(self.folder):  # what another sandbox is about to change is no drift
            self.engine.forget()
            return self._compared(route)

    def publish(self, route: Route, say: Callable[[str], None] = lambda _: None) -> None:
        """Serve the sandbox by `route`, with its certificate and the routes that commands added.

        Raises SandboxError.
        """
        with edge_folder.alone(self.folder):
            mine = routes.find(routes.load(self.folder), route.name)
            wanted = replace(route, since=mine.since if mine else time.time())
            # The preflight has checked this; another sandbox may have come up since.
            first, *others = routes.merged((wanted, *routes.load(self.folder)), routes.load_added(self.folder))
            routes.require_unclaimed(first, others)
            certificate = self._certificate(wanted)
            if certificate:
                edge_folder.save_key(self.folder, route.name, certificate)
            routes.save(self.folder, wanted)
            known, box = routes.load(self.folder), self._box
            found = box.find()
            if found is None or box.drift(found, self.image, known) or _may_give_back(box, found, known):
                if found and found.running and box.cuts():
                    say("open connections of all sandboxes end: the engine forwards the edge's ports")
                self._start(box, known)
            else:
                box.join(known)
                box.follow(known)

    def route_ports(self, node_ports: Mapping[str, int]) -> None:
        """Route the sandbox's ports to these ports of its nodes, by Service. Raises SandboxError."""
        with edge_folder.alone(self.folder):
            routes.save_node_ports(self.folder, self.names.name, node_ports)
            known, box = routes.load(self.folder), self._box
            found = box.find()
            if found and found.running:
                box.follow(known)

    def withdraw(self, network: str) -> bool:
        """Stop serving the sandbox and leave its `network`; returns whether it was served."""
        with edge_folder.alone(self.folder):
            mine = routes.find(routes.load(self.folder), self.names.name)
            removed = routes.remove(self.folder, self.names.name)
            rest, box = routes.load(self.folder), self._box
            if not rest:
                gone = box.remove()
                edge_folder.write(self.folder, rest)
                return gone or removed
            found = box.find()
            if found is None or not found.running:
                box.write(rest)
            elif _may_give_back(box, found, rest):
                box = self._start(box, rest)
            else:
                box.follow(rest)
            for left in {network, *((mine.network,) if mine else ())} - {route.network for route in rest}:
                box.leave(left)
            return removed

    def _compared(self, route: Route) -> Status:
        """Return the status, as far as the files and the container tell at this moment."""
        known, box = routes.load(self.folder), self._box
        mine, found = routes.find(known, route.name), box.find()
        if mine is None or found is None:
            return Status(State.ABSENT)
        if mine != replace(route, since=mine.since, added_ports=mine.added_ports, node_ports=mine.node_ports):
            return Status(State.DRIFTED, "the route has another target")
        reason = self._drift(box, found, known, mine)
        return Status(State.DRIFTED, reason) if reason else Status(State.READY, f"*.{route.domain}")

    def _drift(self, box: EdgeContainer, found: Container, known: Sequence[Route], mine: Route) -> str | None:
        """Return how the container differs from what the routes ask for, or None."""
        if reason := box.drift(found, self.image, known):
            return reason
        if box.missing((mine,)):
            return f"is not on the network {mine.network}"
        if self._certificate(mine) != edge_folder.read_key(self.folder, mine.name):
            return "serves an old certificate"
        if not edge_folder.is_current(self.folder, known):
            return "its configuration is out of date"
        return None

    def _start(self, box: EdgeContainer, known: Sequence[Route]) -> EdgeContainer:
        """Start it, by another name where another owner began to make theirs at the same moment; return it."""
        try:
            box.start(self.image, known)
        except labelled.NameTaken:
            before, box = box, self._box
            if box.name == before.name:
                raise
            before.remove()
            box.start(self.image, known)
        wait_until(partial(self._silence, box), what="the edge", timeout=TIMEOUT, pause=0.05)
        return box

    @property
    def _box(self) -> EdgeContainer:
        """Return the container by its present name, which another owner's edge that comes or goes may change."""
        return EdgeContainer.of(self.engine, self.names.home)

    def _certificate(self, route: Route) -> bytes | None:
        """Return the key and chain for the hosts whose TLS ends at the edge, if there are any."""
        if not routes.ending(route.hosts, routes.load_added(self.folder), route.name, route.aliases):
            return None
        pair = Keystore(self.names.keys).leaf_files(EDGE_LEAF).read()
        return pair.key_pem + pair.cert_pem

    def _silence(self, box: EdgeContainer) -> str | None:
        found = box.find()
        if found is None or not found.running:
            said = self.engine.logs(found.name) if found else "another command or program removed its container"
            raise SandboxError("the edge stopped", details=said, id="stopped")
        return None if box.network in found.addresses else "no address yet"


def _may_give_back(box: EdgeContainer, found: Container, known: Sequence[Route]) -> bool:
    """Tell whether there are unused ports and replacing the container would end no connection."""
    return bool(published_ports.surplus(found, known)) and not box.cuts()
