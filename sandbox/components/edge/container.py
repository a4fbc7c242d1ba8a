"""The edge's container: its settings, whether it still has them, and how it takes in changed routes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from sandbox.components.edge import edge_folder, haproxy, haproxy_http, listening, routes
from sandbox.components.edge.haproxy import RUN, SOCKET, Place
from sandbox.components.edge.haproxy_admin import Control, Unreachable, failure
from sandbox.engine import Bind, Container, ContainerSpec, Engine, labelled, reach
from sandbox.engine.container_host import spare_address
from sandbox.errors import SandboxError
from sandbox.names import EDGE, Home
from sandbox.system import files, host_network
from sandbox.system.wait import wait_until

MADE = "dev.sandbox.edge"
HOST = "host"  # the network mode with the engine's own network
# In the host's network HAProxy's master is root, with the rights to open low ports and to start and end workers of
# another user, who have none.
CAPABILITIES = ("NET_BIND_SERVICE", "SETUID", "SETGID", "KILL")
NONROOT = 65532  # a user with no rights and no name on most systems
_BIND = re.compile(r"^  bind (\[\S+\]|[\d.]+):(\d+)", re.MULTILINE)
GIVES_WAY = 10.0  # seconds in which another owner, who made a network of the same name later, has to remove it
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
    def network(self) -> str:
        """Return the network that the container is created on where ports are published.

        Its name sorts before those of sandboxes: the engine publishes ports on the first network, and would publish
        them again for each further sandbox (libnetwork, endpoint.go).
        """
        return self.name

    @property
    def control(self) -> Control:
        return Control(self.folder / "run" / SOCKET)

    @property
    def place(self) -> Place:
        if not self.engine.shares_network():
            return Place(host=False)
        return Place(host=True, also=self._has_further(), user=os.getuid() or NONROOT)

    def _has_further(self) -> bool:
        """Tell whether the further loopback addresses can be opened: there is IPv6, and no other program has them.

        HAProxy closes its ports for a moment while it tries to open one that another program has.
        """
        known, registries = routes.load(self.folder), routes.load_registries(self.folder)
        further = listening.binds(known, registries, also=True) - listening.binds(known, registries)
        present = self.present()
        return all(
            host_network.is_supported(bind.address)
            and (bind in present or host_network.is_free(bind.address, bind.port))
            for bind in further
        )

    def _configuration(self) -> str:
        return (files.content(self.folder / haproxy.CONFIGURATION[0]) or b"").decode(errors="replace")

    def present(self) -> frozenset[Bind]:
        """Return where it listens by its present configuration, in the machine's network."""
        return self._binds(self._configuration())

    @staticmethod
    def _binds(configuration: str) -> frozenset[Bind]:
        return frozenset(Bind(address.strip("[]"), int(port)) for address, port in _BIND.findall(configuration))

    def must_restart(self) -> bool:
        """Tell whether a port changes between one address and all: HAProxy cannot open it while it still has it."""
        place = self.place
        if not place.host:
            return False
        before = self.present()
        after = self._binds(edge_folder.rendered(self.folder, place)[haproxy.CONFIGURATION[0]])
        return any(
            new.port == old.port and ip_address(old.address).is_unspecified != ip_address(new.address).is_unspecified
            for new in after - before
            for old in before
            if (":" in new.address) == (":" in old.address)
        )

    def find(self) -> Container | None:
        return self.engine.container(self.name)

    def start(self, image: str) -> None:
        """Create it, in place of an existing one, and return when it runs. Raises SandboxError."""
        if not self.place.host:
            self._claim_network()
        try:
            self._make(image, self.place)
        except labelled.NameTaken:
            raise
        except SandboxError:  # there may be no IPv6 here, or another program has the port there
            self._make(image, replace(self.place, also=False))
        edge_folder.note_taken(self.folder)
        self.join()

    def join(self) -> None:
        """Connect it to every network that the routes name, as far as these exist."""
        for name in self.missing():
            self.engine.connect_network(name, self.name, spare_address(self.engine, name))

    def leave(self, network: str) -> None:
        """Disconnect it from a network, so that this can be removed."""
        container = self.find()
        if container and network != self.network and network in container.attached:
            self.engine.disconnect_network(network, container.name)

    def remove(self) -> bool:
        """Remove it and everything that belongs to it; returns whether there was anything.

        An edge that has another name because another owner's came first may have left a part with the plain one.
        """
        removed = [labelled.remove(self.engine, name, self.home) for name in dict.fromkeys((self.name, EDGE))]
        network = self.engine.network(self.network)
        if network and labelled.is_ours(network, self.home) and not network.members:
            self.engine.remove_network(network.id)
        return any(removed)

    def missing(self) -> list[str]:
        """Return the networks of the routes that exist and that it is not connected to, but should be."""
        if self.place.host:
            return []
        networks = ((name, self.engine.network(name)) for name in self._networks())
        return [name for name, network in networks if network and self.name not in network.members]

    def _networks(self) -> list[str]:
        return sorted({route.network for route in routes.load(self.folder)} - {"", self.network})

    def follow(self) -> None:
        """Have it take in the routes; no connection ends, and HAProxy is reloaded only where necessary."""
        changed = self.write()
        try:
            if changed & set(haproxy.CONFIGURATION):
                self.control.reload()
            else:
                self._change(changed)
        except Unreachable:
            # The master hands its listening sockets to a new worker; the old one serves its connections to their end.
            self.engine.signal(self.name, "SIGUSR2")
        edge_folder.note_taken(self.folder)

    def write(self) -> set[str]:
        """Write the files for the routes, also into an existing container; return those that changed there.

        HAProxy reads them when it is told to, or when it starts.
        """
        before = edge_folder.taken(self.folder)
        edge_folder.write(self.folder, self.place)
        after = edge_folder.marks(self.folder)
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        if changed and self.find():
            self.engine.put_files(self.name, haproxy.FOLDER, edge_folder.placed(self.folder, changed, self._group))
        return changed

    def restore(self, image: str) -> None:
        """Have it serve what the folder says, after a change that failed."""
        if not (routes.load(self.folder) or routes.load_registries(self.folder)):
            return
        if self.find() is None:
            self.start(image)
            return
        edge_folder.write(self.folder, self.place)
        # What the present worker has loaded is what a new one shall find.
        names = edge_folder.marks(self.folder)
        self.engine.put_files(self.name, haproxy.FOLDER, edge_folder.placed(self.folder, names, self._group))

    def drift(self, container: Container, image: str) -> str | None:
        if not container.running:
            return "stopped"
        if container.image != self.engine.image_id(image):
            return "runs another image"
        made = {self._spec(image, replace(self.place, also=also)).labels[MADE] for also in (True, False)}
        return None if container.labels.get(MADE) in made else "has other settings or ports"

    def _change(self, changed: set[str]) -> None:
        known = routes.merged(routes.load(self.folder), routes.load_added(self.folder))
        ends = any(route.terminates for route in known)
        for name in sorted(changed):
            path = f"{haproxy.FOLDER}/{name}"
            if name in haproxy.MAPS:
                # The files of hosts whose TLS ends at the edge are only read when there are such hosts, and none of
                # them when no sandbox has ports for HTTPS.
                if any(route.listen for route in known) and (ends or path in (haproxy.EXACT, haproxy.SUFFIX)):
                    self.control.replace_map(path, (self.folder / name).read_text(encoding="utf-8"))
            elif (self.folder / name).exists():
                self.control.replace_certificate(path, (self.folder / name).read_bytes())

    def _make(self, image: str, place: Place) -> None:
        """Run the container, on all its networks and with its files, until it answers."""
        labelled.make_room(self.engine, self.name, self.home)
        (self.folder / "run" / SOCKET).unlink(missing_ok=True)
        edge_folder.write(self.folder, place)
        # Before it starts, so that it finds the nodes at once: a waiting client would be refused.
        placed = edge_folder.placed(self.folder, edge_folder.marks(self.folder), self._group)
        spec = self._spec(image, place)
        self.engine.run(replace(spec, joined=self._joined(), folders={haproxy.FOLDER: placed}))
        try:
            wait_until(self._silence, what="the edge", timeout=PATIENCE, pause=0.02)
            self._require_heard(spec)
        except BaseException:
            self.engine.remove_container(self.name)
            raise

    def _silence(self) -> str | None:
        container = self.find()
        if container is None or not container.running:
            output = self.engine.logs(self.name) if container else "another command or program removed its container"
            raise failure("the edge stopped", output)
        if not self.place.host:
            return None if self.network in container.addresses else "no address yet"
        with suppress(OSError):  # it may listen before it can answer
            if self.control.workers():
                return None
        return "does not answer"

    def _require_heard(self, spec: ContainerSpec) -> None:
        """Raise SandboxError for a published port of the loopback that does not lead to the edge."""
        for inner, binds in spec.publish.items():
            for bind in binds:
                # HAProxy waits for an HTTPS client to begin, where a forwarder that reaches nothing hangs up.
                waits = inner in (listening.PORT, listening.OPEN_PORT)
                if ip_address(bind.asked_at).is_loopback and not self.engine.is_heard(bind, waits=waits):
                    raise reach.unheard(bind)

    def _claim_network(self) -> None:
        """Make the network; of two owners who make one of the name at the same moment, the first keeps the name.

        Raises NameTaken for the other, and WaitTimeout if that does not give way.
        """
        if self.engine.network(self.network) is None:
            self.engine.create_network(self.network, self.home.labels)
        first = self.engine.network(self.network)
        if first and (owner := labelled.Owner.of(first.labels)) and owner != labelled.this(self.home):
            for spare in self.engine.spare_networks(self.network):
                if labelled.is_ours(spare, self.home):
                    self.engine.remove_network(spare.id)
            raise labelled.NameTaken(f"the network {self.network} is {labelled.whose(first)}")
        # The engine makes no container on a network whose name another has.
        wait_until(
            lambda: "another has its name" if self.engine.spare_networks(self.network) else None,
            what=f"the network {self.network}",
            timeout=GIVES_WAY,
            pause=0.05,
        )

    def _joined(self) -> Mapping[str, str]:
        if self.place.host:
            return {}
        return {name: spare_address(self.engine, name) for name in self._networks() if self.engine.network(name)}

    def _spec(self, image: str, place: Place) -> ContainerSpec:
        spec = ContainerSpec(
            name=self.name,
            image=image,
            command=(*haproxy.COMMAND, "-S", f"{RUN}/{SOCKET},mode,660"),
            labels=self.home.labels,
            network=HOST if place.host else self.network,
            folders={haproxy.FOLDER: {}},
            binds={self.folder / "run": RUN} if place.host else {},
            tmpfs=() if place.host else (RUN,),
            hosts={} if place.host else {haproxy_http.MACHINE: "host-gateway"},
            capabilities=CAPABILITIES if place.host else (),
            publish={} if place.host else self._published(place),
            user="{}:{}".format(*self._user(place)),
            memory="768m",
            processes=1024,
        )
        made = hashlib.sha256(repr(replace(spec, image="")).encode()).hexdigest()[:12]
        return replace(spec, labels={**spec.labels, MADE: made})

    def _published(self, place: Place) -> Mapping[int, tuple[Bind, ...]]:
        return listening.published(routes.load(self.folder), routes.load_registries(self.folder), also=place.also)

    def _user(self, place: Place) -> tuple[int, int]:
        """Return user and group; the group may read keys and connect to the socket."""
        if self.engine.facts().rootless:  # there root is the user
            return 0, 0
        if place.host:
            return 0, os.getgid()
        return (os.getuid(), os.getgid()) if os.getuid() else (NONROOT, NONROOT)

    @property
    def _group(self) -> int:
        return self._user(self.place)[1]


def listens(engine: Engine, home: Home) -> frozenset[Bind]:
    """Return where this owner's edge listens on this machine; nothing while it does not run."""
    box = EdgeContainer.of(engine, home)
    container = box.find()
    if container is None or not container.running:
        return frozenset()
    if container.network != HOST:
        return frozenset(bind for binds in container.published.values() for bind in binds)
    return box.present()
