"""The edge as sandboxes use it: each publishes its route, and the container follows all routes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import edge_folder, forwarder, routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.route import RegistryRoute, Route
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.names import EDGE_LEAF, Names
from sandbox.step import State, Status

NOT_RUNNING = "the edge is not running; `sandbox up` starts it"


@dataclass(frozen=True)
class Edge:
    """The one HAProxy container of `image`, as the sandbox `names` uses it; it is removed with the last route.

    Where the engine publishes the edge's ports, the container is recreated when the set of ports or networks changes.
    """

    engine: Engine
    names: Names
    image: str

    @classmethod
    def running(cls, engine: Engine, names: Names) -> Edge | None:
        container = EdgeContainer.of(engine, names.home).find()
        return cls(engine, names, container.image) if container and container.running else None

    @property
    def folder(self) -> Path:
        return self.names.home.edge

    def status(self, route: Route) -> Status:
        """Compare the container and its files with the existing routes, and this sandbox's with `route`."""
        return self._checked(lambda: self._of_route(route))

    def registry_status(self, registry: RegistryRoute) -> Status:
        return self._checked(lambda: self._of_registry(registry))

    def publish(self, route: Route, say: Callable[[str], None] = lambda _: None) -> None:
        """Serve the sandbox by `route`, with its certificate and what commands added.

        Raises SandboxError; then everything is served as before.
        """
        with self._changing(say):
            existing = routes.load(self.folder)
            mine = routes.find(existing, route.name)
            since, node_ports = (mine.since, mine.node_ports) if mine else (time.time(), ())
            published = routes.with_added(self.folder, replace(route, since=since, node_ports=node_ports))
            # The preflight has checked this; another sandbox may have come up since.
            routes.require_unclaimed(published, existing)
            if certificate := self._certificate(published):
                edge_folder.save_key(self.folder, route.name, certificate)
            routes.save(self.folder, published)

    def publish_registry(self, registry: RegistryRoute, say: Callable[[str], None] = lambda _: None) -> None:
        """Serve the port of the sandbox's registry. Raises SandboxError; then everything is served as before."""
        with self._changing(say):
            routes.save_registry(self.folder, registry)

    def route_ports(self, node_ports: Mapping[str, int]) -> None:
        with edge_folder.alone(self.folder):
            route = routes.find(routes.load(self.folder), self.names.name)
            if route:
                routes.save(self.folder, replace(route, node_ports=tuple(sorted(node_ports.items()))))
            container = self._box.find()
            if container and container.running:
                self._box.follow()

    def withdraw(self) -> bool:
        return self._withdrawn(lambda: routes.remove(self.folder, self.names.name))

    def withdraw_registry(self) -> bool:
        return self._withdrawn(lambda: routes.remove_registry(self.folder, self.names.name))

    @contextmanager
    def _changing(self, say: Callable[[str], None]) -> Iterator[None]:
        """Have the edge follow what the block changes in the folder, or undo the change."""
        name, home = self.names.name, self.names.home
        with edge_folder.alone(self.folder):
            route, registry = routes.find(routes.load(self.folder), name), routes.registry_of(self.folder, name)
            yield
            try:
                forwarder.follow(home)
                forwarder.wait(home, name)
                box = self._box
                container = box.find()
                if container and not box.drift(container, self.image):
                    box.follow()
                else:
                    if container and container.running:
                        say("open connections of all sandboxes end: the edge's container is recreated")
                    box.start(self.image)
            except BaseException:
                routes.save(self.folder, route) if route else routes.remove(self.folder, name)
                routes.save_registry(self.folder, registry) if registry else routes.remove_registry(self.folder, name)
                with suppress(SandboxError):
                    if self._box.find():
                        self._box.put_files()
                        self._box.follow()
                    elif routes.load(self.folder) or routes.load_registries(self.folder):
                        self._box.start(self.image)
                raise

    def _withdrawn(self, remove: Callable[[], bool]) -> bool:
        with edge_folder.alone(self.folder):
            removed, box = remove(), self._box
            forwarder.follow(self.names.home)
            if not routes.load(self.folder) and not routes.load_registries(self.folder):
                return box.remove() or removed
            container = box.find()
            if not removed or container is None:
                return removed
            image = self.image or container.image
            if not container.running:
                box.put_files()
            elif box.drift(container, image):
                box.start(image)
            else:
                box.follow()
            return True

    def _checked(self, compare: Callable[[], Status]) -> Status:
        if not self.folder.exists():
            return Status(State.ABSENT)
        with suppress(OSError, SandboxError):  # another command may replace or remove files meanwhile
            status = compare()
            if status.state is State.READY:
                return status
        with edge_folder.alone(self.folder):  # a change that another command has begun is no drift
            self.engine.forget()
            return compare()

    def _of_route(self, route: Route) -> Status:
        mine = routes.find(routes.load(self.folder), route.name)
        if mine is None or self._box.find() is None:
            return Status(State.ABSENT)
        if mine != routes.with_added(self.folder, replace(route, since=mine.since, node_ports=mine.node_ports)):
            return Status(State.DRIFTED, "the route has another target")
        reason = self._drift()
        if not reason and self._certificate(mine) != edge_folder.read_key(self.folder, mine.name):
            reason = "serves an old certificate"
        return Status(State.DRIFTED, reason) if reason else Status(State.READY, f"*.{route.domain}")

    def _of_registry(self, registry: RegistryRoute) -> Status:
        mine = routes.registry_of(self.folder, registry.sandbox)
        if mine is None or self._box.find() is None:
            return Status(State.ABSENT)
        if mine != registry:
            return Status(State.DRIFTED, "the edge routes its port elsewhere")
        reason = self._drift()
        return Status(State.DRIFTED, f"the edge {reason}") if reason else Status(State.READY)

    def _drift(self) -> str | None:
        box = self._box
        container = box.find()
        if container is None:
            return "has gone"
        if edge_folder.is_current(self.folder, box.place):
            return box.drift(container, self.image) or forwarder.trouble(self.names.home, self.names.name)
        return box.drift(container, self.image) or "has an old configuration"

    @property
    def _box(self) -> EdgeContainer:
        """Return the container by its present name, which another owner's edge that comes or goes may change."""
        return EdgeContainer.of(self.engine, self.names.home)

    def _certificate(self, route: Route) -> bytes | None:
        if not route.ending:
            return None
        pair = Keystore(self.names.keys).leaf_files(EDGE_LEAF).read()
        return pair.key_pem + pair.cert_pem
