"""The machine's edge: the proxy that brings 443 and 8443 of this machine to every sandbox's ingress."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.errors import SandboxError
from sandbox.host import files
from sandbox.host.engine import Bind, Container, ContainerSpec, Engine
from sandbox.host.waiting import wait_until
from sandbox.names import EDGE, LABEL, NETWORK, Names
from sandbox.proxy import config, edge, routes
from sandbox.proxy.routes import Route
from sandbox.steps.step import State, Status, Work

USER = "65532:65532"


@dataclass(frozen=True)
class EdgeStep:
    """One HAProxy container for all sandboxes; this step owns one route in it, and the last route takes it along."""

    engine: Engine
    names: Names
    image: str
    domain: str
    binds: tuple[Bind, ...]
    name: str = "edge"
    needs: tuple[str, ...] = ("images", "network")

    @property
    def title(self) -> str:
        return "Edge on " + ", ".join(f"{bind.address}:{bind.port}" for bind in self.binds)

    def check(self) -> Status:
        known = routes.load(self.names.home.edge)
        mine = routes.find(known, self.names.name)
        container = self.engine.container(EDGE)
        if mine is None or container is None:
            return Status(State.ABSENT)
        if mine != self._route(mine.since):
            return Status(State.DRIFTED, "the route leads elsewhere")
        reason = self._drift(container, known)
        if reason is None and not edge.is_current(self.names.home.edge, known):
            reason = "its configuration is not the present routes'"
        return Status(State.DRIFTED, reason) if reason else Status(State.READY, f"*.{self.domain}")

    def apply(self, work: Work) -> None:
        folder = self.names.home.edge
        folder.mkdir(parents=True, exist_ok=True)
        with files.exclusive(folder):
            mine = routes.find(routes.load(folder), self.names.name)
            since = mine.since if mine else time.time()
            routes.save(folder, self._route(since))
            known = routes.load(folder)
            edge.write(folder, known)
            container = self.engine.container(EDGE)
            if container is None or self._drift(container, known):
                self._start(known)
            else:
                # The master hands its listening sockets to a new worker; the old one serves out its connections.
                self.engine.signal(EDGE, "SIGUSR2")

    def undo(self) -> bool:
        folder = self.names.home.edge
        folder.mkdir(parents=True, exist_ok=True)
        with files.exclusive(folder):
            removed = routes.remove(folder, self.names.name)
            rest = routes.load(folder)
            edge.write(folder, rest)
            if not rest:
                return self.engine.remove_container(EDGE) or removed
            container = self.engine.container(EDGE)
            if container and container.running:
                self.engine.signal(EDGE, "SIGUSR2")
            return removed

    def _route(self, since: float) -> Route:
        listen = tuple((bind.address, bind.port) for bind in self.binds)
        return Route(self.names.name, self.domain, self.names.node, listen, since)

    def _start(self, known: Sequence[Route]) -> None:
        self.engine.remove_container(EDGE)
        self.engine.run(
            ContainerSpec(
                name=EDGE,
                image=self.image,
                command=config.COMMAND,
                labels={LABEL: ""},
                network=NETWORK,
                publish={config.PORT: _wanted(known)},
                read_only_binds={self.names.home.edge: config.FOLDER},
                user=USER,
                memory="256m",
            )
        )
        wait_until(self._silence, what=self.title, timeout=15, pause=0.05)

    def _drift(self, container: Container, known: Sequence[Route]) -> str | None:
        if not container.running:
            return "stopped"
        if container.image != self.engine.image_id(self.image):
            return "runs another image"
        missing = set(_wanted(known)) - container.published.get(config.PORT, frozenset())
        if missing:
            return "is not published on " + ", ".join(f"{bind.address}:{bind.port}" for bind in missing)
        return None

    def _silence(self) -> str | None:
        container = self.engine.container(EDGE)
        if container is None or not container.running:
            raise SandboxError("the edge stopped", details=self.engine.logs(EDGE))
        return None if NETWORK in container.addresses else "no address yet"


def _wanted(known: Sequence[Route]) -> tuple[Bind, ...]:
    """The addresses and ports that the sandboxes ask for together."""
    return tuple(sorted({Bind(*each) for route in known for each in route.listen}))
