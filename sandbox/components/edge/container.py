"""The edge's container: its settings, whether it still has them, and how it takes in changed routes."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import product
from pathlib import Path

from sandbox.components.edge import edge_folder, haproxy, haproxy_http
from sandbox.components.edge.haproxy import RUN, SOCKET
from sandbox.components.edge.haproxy_admin import Control, Unreachable, through_port
from sandbox.components.edge.published_ports import lacking, published
from sandbox.components.edge.route import Route
from sandbox.components.network import socket_handover
from sandbox.engine import Bind, Container, ContainerSpec, Engine, labelled, reach
from sandbox.engine.connection import Facts
from sandbox.engine.container_host import spare_address
from sandbox.errors import SandboxError
from sandbox.names import EDGE, HOLDER, RETIRED, Home
from sandbox.system.wait import wait_until

log = logging.getLogger(__name__)

MADE = "dev.sandbox.edge"
# With this the engine does not ask the machine's nameservers for names of nodes that do not exist yet.
OWN_NAMES = ("ndots:1",)
# How many old HAProxy workers the edge keeps after reloads, and how many replaced edges: each costs memory, for a day
# at most.
WORKERS = 16
RETIRED_EDGES = 8
GIVES_WAY = 10.0  # seconds in which another owner, who made a network of the same name later, has to remove it


@dataclass(frozen=True)
class EdgeContainer:
    """HAProxy with the files of this owner's edge, on a network of its own and on the networks of its routes."""

    engine: Engine
    home: Home
    name: str = EDGE

    @classmethod
    def of(cls, engine: Engine, home: Home) -> EdgeContainer:
        """Return this owner's edge, whatever it is called."""
        return cls(engine, home, labelled.edge(engine, home))

    @property
    def folder(self) -> Path:
        """Return the folder of its files."""
        return self.home.edge

    @property
    def network(self) -> str:
        """Return the network that the container is created on.

        Its name sorts before those of sandboxes: the engine publishes ports on the first network, and would publish
        them again for each further sandbox (libnetwork, endpoint.go).
        """
        return self.name

    @property
    def control(self) -> Control:
        """Return the way to change it while it runs; by a port of its own where the engine is on another machine."""
        return Control.of(self.folder, self.find)

    def find(self) -> Container | None:
        """Return the container, running or not."""
        return self.engine.container(self.name)

    @property
    def holder(self) -> str:
        """Return the container that holds the machine's ports for it, if there is one."""
        return self.name + HOLDER

    def start(self, image: str, known: Sequence[Route]) -> None:
        """Create it, in place of an existing one, and return when it runs. Raises SandboxError.

        With sockets of the machine's own no connection ends: the old container serves its open connections to their
        end.
        """
        # Clients on other machines come through the engine anyway, as it and the host's firewall allow.
        local = all(ip_address(bind.address).is_loopback for binds in published(known).values() for bind in binds)
        # What keeps containers from passing sockets is unknown; the engine's forwarders always work.
        handed = (True, False) if local and socket_handover.are_handed_over(self.engine) else (False,)
        # There may be no IPv6 here, or another user has the port: then without the further addresses.
        attempts = list(product(handed, (True, False)))
        while attempts:
            held, also = attempts.pop(0)
            try:
                self._make(image, known, published(known, also=also), held=held)
            except SandboxError as error:
                if not attempts or isinstance(error, labelled.NameTaken):
                    raise
                log.info("%s, held %s, further addresses %s: %s %s", self.name, held, also, error.brief, error.details)
                continue
            deaf = self._deaf(known, forwarded=not held)
            if deaf is None:
                break
            # The engine may still forward ports from another network than its host's.
            attempts = [(False, also) for still_held, also in attempts if held and not still_held]
            if not attempts:
                raise reach.unheard(deaf, reach.again(self.engine, self.home))
        edge_folder.note_taken(self.folder)
        self.join(known)

    def _deaf(self, known: Sequence[Route], *, forwarded: bool) -> Bind | None:
        """Return a port of this machine's loopback that sandboxes ask for and that does not lead to the edge.

        A `forwarded` port may be open at a forwarder that reaches nothing.
        """
        asked = published(known, also=False)
        https = {bind for inner in (haproxy.PORT, haproxy.OPEN_PORT) for bind in asked.get(inner, ())}
        local = sorted(bind for binds in asked.values() for bind in binds if ip_address(bind.asked_at).is_loopback)
        # HAProxy waits for an HTTPS client to begin; a Service's port may have no Service yet.
        return next((bind for bind in local if not self.engine.is_heard(bind, waits=forwarded and bind in https)), None)

    def join(self, known: Sequence[Route]) -> None:
        """Connect it to every network that the routes name, as far as these exist."""
        for name in self.missing(known):
            self.engine.connect_network(name, self.name, spare_address(self.engine, name))

    def leave(self, network: str) -> None:
        """Disconnect it from a network, so that this can be removed."""
        for found in filter(None, (self.find(), *self.retired())):
            if network != self.network and network in found.attached:
                self.engine.disconnect_network(network, found.name)

    def remove(self) -> bool:
        """Remove it and everything that belongs to it; returns whether there was anything.

        An edge that has another name because another owner's came first may have left a part with the plain one.
        """
        retired = (one.name for one in self.retired())
        names = dict.fromkeys((self.name, self.holder, *retired, EDGE, EDGE + HOLDER))
        removed = [labelled.remove(self.engine, name, self.home) for name in names]
        network = self.engine.network(self.network)
        if network and labelled.is_ours(network, self.home) and not network.members:
            self.engine.remove_network(network.id)
        return any(removed)

    def retired(self) -> tuple[Container, ...]:
        """Return the replaced containers, still serving connections or ended, oldest first."""
        found = labelled.containers(self.engine, self.home)
        return tuple(
            sorted((one for one in found if one.name.startswith(self.name + RETIRED)), key=lambda one: one.name)
        )

    def sweep(self) -> None:
        """Remove replaced containers that have ended, and the oldest where there are too many."""
        serving = [one for one in self.retired() if one.running]
        kept = {one.name for one in serving[-RETIRED_EDGES:]}
        for one in self.retired():
            if one.name not in kept:
                self.engine.remove_container(one.name)

    def missing(self, known: Sequence[Route]) -> list[str]:
        """Return the networks of the routes that exist and that it is not connected to."""
        wanted = sorted({route.network for route in known} - {self.network})
        return [name for name in wanted if (found := self.engine.network(name)) and self.name not in found.members]

    def follow(self, known: Sequence[Route]) -> None:
        """Have it take in the routes; no connection ends, and HAProxy is reloaded only where necessary."""
        changed = self.write(known)
        try:
            if changed & set(haproxy.CONFIGURATION):
                found = self.find()
                if found and socket_handover.held(self.folder) and len(self.control.workers()) > WORKERS:
                    self.start(found.image, known)
                    return
                self.control.reload()
            else:
                self._change(changed, ends=any(route.terminates for route in known))
        except Unreachable:
            # The master hands its listening sockets to a new worker; the old one serves its connections to their end.
            self.engine.signal(self.name, "SIGUSR2")
        edge_folder.note_taken(self.folder)

    def write(self, known: Sequence[Route]) -> set[str]:
        """Write the files for the routes, also into an existing container; return those that changed there.

        HAProxy reads them when it is told to, or when it starts.
        """
        before = edge_folder.taken(self.folder)
        edge_folder.write(self.folder, known, self._owner())
        after = edge_folder.marks(self.folder)
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        if changed and self.find():
            self.engine.put_files(self.name, haproxy.FOLDER, edge_folder.placed(self.folder, changed, self._group))
        return changed

    def drift(self, container: Container, image: str, known: Sequence[Route]) -> str | None:
        """Return why the container has to be recreated, or None."""
        if not container.running:
            return "stopped"
        if container.image != self.engine.image_id(image):
            return "runs another image"
        held = bool(socket_handover.held(self.folder))
        if container.labels.get(MADE) != self._spec(image, {}, held=held).labels[MADE]:
            return "was made by another release or user"
        if self.network not in container.addresses:
            return f"is not on its network {self.network}"
        holder = self.engine.container(self.holder) if held else None
        if held and not (holder and holder.running):
            return "no container holds its ports for when it starts again"
        lost = lacking(container, known)
        return f"is not published on {', '.join(map(str, lost))}" if lost else None

    def cuts(self) -> bool:
        """Tell whether replacing it would end connections, as far as can be known."""
        return not socket_handover.held(self.folder) and not self.is_idle()

    def is_idle(self) -> bool:
        """Tell whether no client is connected, as far as can be known."""
        try:
            return self.control.connections() == 0
        except Unreachable:
            return False

    def _change(self, changed: set[str], *, ends: bool) -> None:
        for name in sorted(changed):
            path = f"{haproxy.FOLDER}/{name}"
            if name in haproxy.MAPS:
                # The files of hosts whose TLS ends at the edge are only read when there are such hosts.
                if ends or path in (haproxy.EXACT, haproxy.SUFFIX):
                    self.control.replace_map(path, (self.folder / name).read_text(encoding="utf-8"))
            elif (self.folder / name).exists():
                self.control.replace_certificate(path, (self.folder / name).read_bytes())

    def _make(self, image: str, known: Sequence[Route], publish: Mapping[int, tuple[Bind, ...]], *, held: bool) -> None:
        before = self.find()
        serves = before is not None and before.running and bool(socket_handover.held(self.folder))
        keeps = held and serves and labelled.is_ours(before, self.home)
        for name in (self.holder,) if keeps else (self.name, self.holder):
            labelled.make_room(self.engine, name, self.home)
        self._claim_network()
        binds = [bind for binds in publish.values() for bind in binds] if held else []
        socket_handover.write(self.folder, binds, self._owner())
        publish = {**publish, **through_port(self.folder, wanted=not self.engine.shares_network())}
        edge_folder.write(self.folder, known, self._owner())
        spec = self._spec(image, publish, held=held)
        if held:
            self.engine.run(socket_handover.holder(self.holder, image, self.folder, str(spec.user), self.home.labels))
            handed = self.folder / "sockets" / socket_handover.HANDED
            socket_handover.wait(self.engine, self.holder, handed.exists, again=keeps)
        with self._replacing() if keeps else nullcontext():
            self._run(spec, known, held=held)

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

    def _run(self, spec: ContainerSpec, known: Sequence[Route], *, held: bool) -> None:
        """Run the container, on all its networks and with its files, until it serves the sockets that are `held`."""
        (self.folder / "run" / SOCKET).unlink(missing_ok=True)
        # Before it starts, so that it finds the nodes at once: a waiting client would be refused.
        placed = edge_folder.placed(self.folder, edge_folder.marks(self.folder), self._group)
        self.engine.run(replace(spec, joined=self._networks(known), folders={haproxy.FOLDER: placed}))
        if held:
            socket_handover.wait(self.engine, self.name, self._answers)

    def _networks(self, known: Sequence[Route]) -> Mapping[str, str]:
        names = sorted({route.network for route in known} - {self.network})
        return {name: spare_address(self.engine, name) for name in names if self.engine.network(name)}

    @contextmanager
    def _replacing(self) -> Iterator[None]:
        """Move the present container aside for a new one, and let it end with its last connection.

        The holder has its sockets too, so clients that connect meanwhile wait for the new container. The old one gets
        its name back if no new one is made.
        """
        aside = f"{self.name}{RETIRED}{time.time_ns() // 1_000_000}"
        self.engine.rename(self.name, aside)
        try:
            yield
        except BaseException:
            self.engine.remove_container(self.name)
            self.engine.rename(aside, self.name)
            raise
        self.engine.let_end(aside)
        self.engine.signal(aside, "SIGUSR1")  # a soft stop (management guide, section 4)
        self.sweep()

    def _answers(self) -> bool:
        try:
            return bool(self.control.workers())
        except OSError:  # it may listen before it can answer
            return False

    def _spec(self, image: str, publish: Mapping[int, tuple[Bind, ...]], *, held: bool) -> ContainerSpec:
        facts = self.engine.facts()
        run = self.folder / "run"
        reachable = bool(self.engine.shares_network())
        taken_over = socket_handover.taken_over(haproxy.FOLDER) if held else ()
        spec = ContainerSpec(
            name=self.name,
            image=image,
            command=(*haproxy.COMMAND, "-S", f"{RUN}/{SOCKET},mode,600", *taken_over),
            labels=self.home.labels,
            network=self.network,
            forwarded=not held,
            folders={haproxy.FOLDER: {}},
            # Folders of this machine can be mounted only where the engine runs on it.
            read_only_binds={self.folder / "sockets": f"{haproxy.FOLDER}/sockets"} if held else {},
            binds={
                **({run: RUN} if reachable else {}),
                **({self.folder / "live": socket_handover.LIVE} if held else {}),
            },
            tmpfs=() if reachable else (RUN,),
            hosts={haproxy_http.MACHINE: reach.of(self.engine, self.home).machine or "host-gateway"},
            resolver=OWN_NAMES,
            sysctls=socket_handover.SYSCTLS if held else {},
            user=user(facts, os.getuid(), os.getgid()),
            memory="256m" if held else "768m",
            processes=256 if held else 1024,
        )
        made = hashlib.sha256(repr(replace(spec, image="")).encode()).hexdigest()[:12]
        return replace(spec, labels={**spec.labels, MADE: made}, publish=publish)

    @property
    def _group(self) -> int:
        return int(user(self.engine.facts(), os.getuid(), os.getgid()).partition(":")[2])

    def _owner(self) -> tuple[int, int] | None:
        return socket_handover.owner(self.engine.facts())


def user(facts: Facts, uid: int, gid: int) -> str:
    """Return the user who reads keys of mode 0600: this one, who is root inside if rootless; none for root."""
    if facts.rootless:
        return "0:0"
    nonroot = socket_handover.NONROOT
    return f"{nonroot}:{nonroot}" if uid == 0 else f"{uid}:{gid}"
