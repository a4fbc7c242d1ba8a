"""The edge as sandboxes use it: each publishes its route, and the container follows all routes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import forwarder, routes
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

        def compare() -> Status:
            mine = routes.find(routes.load(self.folder), route.name)
            if mine is None:
                return Status(State.ABSENT)
            if mine != routes.with_added(self.folder, replace(route, since=mine.since, node_ports=mine.node_ports)):
                return Status(State.DRIFTED, "the route has another target")
            if self._certificate(mine) != routes.read_key(self.folder, mine.name):
                return Status(State.DRIFTED, "the edge serves an old certificate")
            return Status(State.READY, f"*.{route.domain}")

        return self._checked(compare)

    def registry_status(self, registry: RegistryRoute) -> Status:
        def compare() -> Status:
            mine = routes.registry_of(self.folder, registry.sandbox)
            if mine and mine != registry:
                return Status(State.DRIFTED, "the edge routes its port elsewhere")
            return Status(State.READY if mine else State.ABSENT)

        return self._checked(compare)

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
                routes.save_key(self.folder, route.name, certificate)
            routes.save(self.folder, published)

    def publish_registry(self, registry: RegistryRoute, say: Callable[[str], None] = lambda _: None) -> None:
        """Serve the port of the sandbox's registry. Raises SandboxError; then everything is served as before."""
        with self._changing(say):
            routes.REGISTRIES.save(self.folder, registry)

    def route_ports(self, node_ports: Mapping[str, int]) -> None:
        with routes.alone(self.folder):
            route = routes.find(routes.load(self.folder), self.names.name)
            if route:
                routes.save(self.folder, replace(route, node_ports=tuple(sorted(node_ports.items()))))
            container = self._box.find()
            if container and container.running:
                self._box.follow()

    def withdraw(self) -> bool:
        return self._withdrawn(routes.remove)

    def withdraw_registry(self) -> bool:
        return self._withdrawn(routes.REGISTRIES.remove)

    @contextmanager
    def _changing(self, say: Callable[[str], None]) -> Iterator[None]:
        name, home = self.names.name, self.names.home
        with routes.alone(self.folder):
            route, registry = routes.find(routes.load(self.folder), name), routes.registry_of(self.folder, name)
            yield
            try:
                forwarder.follow(home)
                forwarder.wait(home, name)
                self._follow(say)
            except BaseException:
                routes.remove(self.folder, name)
                routes.REGISTRIES.remove(self.folder, name)
                if route:
                    routes.save(self.folder, route)
                if registry:
                    routes.REGISTRIES.save(self.folder, registry)
                with suppress(SandboxError):
                    self._box.note_unknown()
                    if routes.load(self.folder) or routes.REGISTRIES.load(self.folder):
                        self._follow(say)
                raise

    def _withdrawn(self, remove: Callable[[Path, str], bool]) -> bool:
        with routes.alone(self.folder):
            removed, box = remove(self.folder, self.names.name), self._box
            forwarder.follow(self.names.home)
            if not routes.load(self.folder) and not routes.REGISTRIES.load(self.folder):
                return box.remove() or removed
            container = box.find()
            if removed and container:
                self._follow(lambda _: None) if container.running else box.put_files()
            return removed

    def _follow(self, say: Callable[[str], None]) -> None:
        box = self._box
        container = box.find()
        image = self.image or (container.image if container else "")
        if container and not box.drift(container, image):
            box.follow()
            return
        if container and container.running:
            say("open connections of all sandboxes end: the edge's container is recreated")
        box.start(image)

    def _checked(self, compare: Callable[[], Status]) -> Status:
        if not self.folder.exists():
            return Status(State.ABSENT)
        with routes.alone(self.folder):  # a change that another command has begun is no drift
            self.engine.kept.forget()
            status, box = compare(), self._box
            container = box.find()
            if container is None:
                return Status(State.ABSENT)
            if status.state is not State.READY:
                return status
            reason = box.drift(container, self.image)
            if not reason and not box.is_current():
                reason = "has an old configuration"
            reason = reason or forwarder.trouble(self.names.home, self.names.name)
            return Status(State.DRIFTED, f"the edge {reason}") if reason else status

    @property
    def _box(self) -> EdgeContainer:
        # It is looked up each time, since another owner's edge that comes or goes may change its name.
        return EdgeContainer.of(self.engine, self.names.home)

    def _certificate(self, route: Route) -> bytes | None:
        if not route.ending:
            return None
        pair = Keystore(self.names.keys).leaf_files(EDGE_LEAF).read()
        return pair.key_pem + pair.cert_pem
