"""The edge's container: its settings, whether it still has them, and how it loads changed routes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import ip_address
from itertools import chain
from pathlib import Path
from typing import Any

from sandbox.components.edge import haproxy, listening, routes
from sandbox.components.edge.haproxy import RUN, SOCKET
from sandbox.components.edge.haproxy_admin import Control, Unreachable, failure
from sandbox.components.edge.listening import Place
from sandbox.engine import Bind, Container, ContainerSpec, Engine, Placed, engine_limits, labelled
from sandbox.engine.container_host import spare_address
from sandbox.names import EDGE, Home
from sandbox.system import files, host_network
from sandbox.system.wait import wait_until

MADE = "dev.sandbox.edge"
RECORD = "loaded.json"  # the file with the ports and the digest of the configuration that HAProxy has loaded
HOST = "host"  # the network mode with the engine's own network
# In the host's network HAProxy's master is root, with the rights to open low ports and to start and end workers of
# another user, who have none.
CAPABILITIES = ("NET_BIND_SERVICE", "SETUID", "SETGID", "KILL")
NONROOT = 65532  # a user with no rights and no name on most systems
PATIENCE = 20.0  # seconds until a container that runs has to answer


@dataclass(frozen=True)
class EdgeContainer:
    """HAProxy with the files of this owner's edge.

    Where the engine's network is this machine's it is in that network, opens the machine's ports itself, and reaches
    nodes by their addresses. Elsewhere the engine publishes its ports, and it is on the networks of its routes.
    """

    engine: Engine
    home: Home
    name: str = EDGE

    @classmethod
    def of(cls, engine: Engine, home: Home) -> EdgeContainer:
        return cls(engine, home, labelled.edge(engine, home))

    @property
    def folder(self) -> Path:
        return self.home.edge

    @property
    def control(self) -> Control:
        return Control(self.folder / "run" / SOCKET)

    @cached_property
    def place(self) -> Place:
        if not self.engine.shares_network():
            return Place(host=False)
        return Place(host=True, ipv6=host_network.is_supported("::1"), user=os.getuid() or NONROOT)

    def find(self) -> Container | None:
        return self.engine.container(self.name)

    def start(self, image: str) -> None:
        """Create it, in place of an existing one, and return when it runs. Raises SandboxError."""
        # The network has the container's name, which sorts before those of sandboxes: the engine publishes ports on the
        # first network, and would publish them again for each further sandbox (libnetwork, endpoint.go).
        if not self.place.host and self.engine.network(self.name) is None:
            self.engine.create_network(self.name, self.home.labels)
        labelled.make_room(self.engine, self.name, self.home)
        # Recreated for the admin socket: that of an earlier container may belong to another group.
        folder = self.folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o770)  # the container's root is in the user's group; the folder above keeps others out
        # Its files are there before it starts, so that it finds the nodes at once: a waiting client would be refused.
        joined = {name: spare_address(self.engine, name) for name in self._networks if self.engine.network(name)}
        spec = replace(self._spec(image), joined=joined, folders={haproxy.FOLDER: self._files(self.place)})
        self.engine.run(spec)
        try:
            wait_until(self._silence, what="the edge", timeout=PATIENCE, pause=0.02)
            self._require_heard(spec)
        except BaseException:
            self.engine.remove_container(self.name)
            raise
        self.note_loaded()

    def remove(self) -> bool:
        """Remove it and everything that belongs to it; returns whether anything existed."""
        removed = labelled.remove(self.engine, self.name, self.home)
        network = self.engine.network(self.name)
        if network and labelled.is_ours(network, self.home) and not network.members:
            self.engine.remove_network(network.id)
        (self.folder / RECORD).unlink(missing_ok=True)
        return removed

    def missing(self) -> list[str]:
        networks = filter(None, map(self.engine.network, self._networks))
        return [network.name for network in networks if self.name not in network.members]

    @property
    def _networks(self) -> list[str]:
        networks = {route.network for route in routes.load(self.folder)}
        networks |= {registry.network for registry in routes.REGISTRIES.load(self.folder)}
        return [] if self.place.host else sorted(networks - {"", self.name})

    def follow(self) -> None:
        """Have HAProxy load the routes, if they have changed; no connection ends."""
        if self.is_current():
            return
        before, after = loaded_binds(self.folder), self._binds(self.place)
        moved = {bind.port for bind in before - after} & {bind.port for bind in after - before}
        if self.place.host and moved:
            # A new worker cannot open all addresses of a port while the old one still has a single one, or the reverse.
            self._load(replace(self.place, closed=frozenset(moved)))
            closing = [bind for bind in before if bind.port in moved]
            wait_until(lambda: _still_open(closing), what="the edge's old ports", timeout=PATIENCE, pause=0.01)
        self._load(self.place)

    def _load(self, place: Place) -> None:
        self.put_files(place)
        try:
            self.control.reload()
        except Unreachable:
            # The master hands its listening sockets to a new worker; the old one serves its connections to their end.
            self.engine.signal(self.name, "SIGUSR2")
        self.note_loaded(place)

    def is_current(self) -> bool:
        return _record(self.folder).get("digest") == _digest(self._content(self.place))

    def note_loaded(self, place: Place | None = None) -> None:
        place = place or self.place
        ports = sorted((bind.address, bind.port) for bind in self._binds(place))
        record = {"digest": _digest(self._content(place)), "binds": ports}
        files.write_private(self.folder / RECORD, json.dumps(record).encode())

    def note_unknown(self) -> None:
        """Have the next `follow` load the routes in any case; until then the recorded ports count as open."""
        if record := _record(self.folder):
            files.write_private(self.folder / RECORD, json.dumps({**record, "digest": ""}).encode())

    def _binds(self, place: Place) -> frozenset[Bind]:
        return frozenset(chain.from_iterable(self._frontends(place).values()))

    def _frontends(self, place: Place) -> Mapping[str, tuple[Bind, ...]]:
        return listening.frontends(routes.load(self.folder), routes.REGISTRIES.load(self.folder), place)

    def _content(self, place: Place) -> dict[str, bytes]:
        every = routes.load(self.folder)
        texts = haproxy.render(every, routes.REGISTRIES.load(self.folder), place)
        ending = (route.name for route in every if route.ending)
        keys = {routes.key_file(name): routes.read_key(self.folder, name) or b"" for name in ending}
        return {**{name: text.encode() for name, text in texts.items()}, **keys}

    def put_files(self, place: Place | None = None) -> None:
        self.engine.put_files(self.name, haproxy.FOLDER, self._files(place or self.place))

    def drift(self, container: Container, image: str) -> str | None:
        """Return why the container has to be recreated for the present routes, or None."""
        if not container.running:
            return "stopped"
        if container.image != self.engine.image_id(image):
            return "runs another image"
        if container.labels.get(MADE) != self._spec(image).labels[MADE]:
            return "has other settings, ports or networks"
        return next((f"is not on the network {name}" for name in self.missing()), None)

    def _files(self, place: Place) -> Mapping[str, Placed]:
        content, group = self._content(place), self._user[1]  # only HAProxy's group may read the keys
        for path in (self.folder / "keys").glob("*.pem"):
            if f"keys/{path.name}" not in content:
                path.unlink()  # no route needs this key
                content[f"keys/{path.name}"] = b""
        return {
            "keys": Placed(None, 0o750, (0, group)),
            **{
                name: Placed(data, 0o640, (0, group)) if name.startswith("keys/") else Placed(data)
                for name, data in content.items()
            },
        }

    def _silence(self) -> str | None:
        container = self.find()
        if container is None or not container.running:
            output = self.engine.logs(self.name) if container else "another command or program removed its container"
            raise failure("the edge stopped", output)
        if not self.place.host:
            return None if self.name in container.addresses else "no address yet"
        with suppress(OSError):  # it may listen before it can answer
            if self.control.workers():
                return None
        return "does not answer"

    def _require_heard(self, spec: ContainerSpec) -> None:
        for inner, binds in spec.publish.items():
            for bind in binds:
                # HAProxy waits for an HTTPS client to begin, where a forwarder that reaches nothing hangs up.
                waits = inner in (listening.PORT, listening.OPEN_PORT)
                if ip_address(bind.asked_at).is_loopback and not self.engine.is_heard(bind, waits=waits):
                    raise engine_limits.unheard(bind)

    def _spec(self, image: str) -> ContainerSpec:
        host = self.place.host
        spec = ContainerSpec(
            name=self.name,
            image=image,
            command=(*haproxy.COMMAND, "-S", f"{RUN}/{SOCKET},mode,660"),
            labels=self.home.labels,
            network=HOST if host else self.name,
            folders={haproxy.FOLDER: {}},
            binds={self.folder / "run": RUN} if host else {},
            tmpfs=() if host else (RUN,),
            hosts={} if host else {listening.MACHINE: "host-gateway"},
            capabilities=CAPABILITIES if host else (),
            publish={} if host else listening.published(self._frontends(self.place)),
            user="{}:{}".format(*self._user),
            memory="768m",
            processes=1024,
        )
        made = hashlib.sha256(repr((replace(spec, image=""), self._networks)).encode()).hexdigest()[:12]
        return replace(spec, labels={**spec.labels, MADE: made})

    @property
    def _user(self) -> tuple[int, int]:
        if self.engine.facts().rootless:  # there root is the user
            return 0, 0
        if self.place.host:
            return 0, os.getgid()
        return (os.getuid(), os.getgid()) if os.getuid() else (NONROOT, NONROOT)


def loaded_binds(folder: Path) -> frozenset[Bind]:
    return frozenset(Bind(str(address), int(port)) for address, port in _record(folder).get("binds", ()))


def _record(folder: Path) -> dict[str, Any]:
    try:
        return dict(files.read_json(folder / RECORD))
    except (OSError, ValueError, TypeError):  # absent or damaged: HAProxy then loads its configuration again
        return {}


def _digest(content: Mapping[str, bytes]) -> str:
    return hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()


def _still_open(binds: Iterable[Bind]) -> str | None:
    return next((f"{bind} is open" for bind in binds if not host_network.is_free(bind.address, bind.port)), None)


def listens(engine: Engine, home: Home) -> frozenset[Bind]:
    """Return where this owner's edge listens on this machine; nothing while it does not run."""
    box = EdgeContainer.of(engine, home)
    container = box.find()
    if container is None or not container.running:
        return frozenset()
    if container.network != HOST:
        return frozenset(bind for binds in container.published.values() for bind in binds)
    return loaded_binds(box.folder)
