"""Values passed to and from the engine: containers, networks, and where they listen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.system import host_network

# The label for where a container listens on the machine by sockets of its own, as JSON.
LISTENS = "dev.sandbox.listens"


@dataclass(frozen=True, order=True)
class Bind:
    """A host address and port that reach a port of a container."""

    address: str
    port: int

    def __str__(self) -> str:
        return host_network.authority(self.address, self.port)

    @property
    def asked_at(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.address, self.address)  # noqa: S104


@dataclass(frozen=True)
class Placed:
    """A file to put into a folder of a container, or a folder where there is no `data`; `owner` is UID, GID."""

    data: bytes | None
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """A container to create; it gets only these capabilities, no new privileges, and restarts with the engine.

    It is on `network` at the IPv4 `address`, or at any, and before it starts on the networks `joined` too, at the
    address given for each, or at any. `folders` are of its own and writable for their owners; they contain these files,
    by paths in them, before it starts. Unless `forwarded`, the TCP ports that it publishes are only a label: it has
    sockets of the machine's own, or another container in front of it publishes them.
    """

    name: str
    image: str
    command: tuple[str, ...]
    labels: Mapping[str, str]
    network: str
    address: str = ""
    joined: Mapping[str, str] = field(default_factory=dict)
    publish: Mapping[int, tuple[Bind, ...]] = field(default_factory=dict)
    forwarded: bool = True
    capabilities: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, Mapping[str, Placed]] = field(default_factory=dict)
    binds: Mapping[Path, str] = field(default_factory=dict)
    tmpfs: tuple[str, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    memory: str = "512m"
    processes: int = 4096


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container as the engine sees it now; one that is `paused` does not run, and keeps its ports.

    `addresses` are those of IPv4 by network, `addresses6` those of IPv6. `published` are its TCP ports.
    `network` is the one it was created on, `attached` those it is on with their ids, as far as they are known
    while it is stopped. `mounts` are the folders and files of this machine that it has, `volumes` the names of its
    volumes.
    """

    name: str
    id: str
    running: bool
    image: str
    labels: Mapping[str, str]
    addresses: Mapping[str, str]
    published: Mapping[int, frozenset[Bind]]
    paused: bool = False
    network: str = ""
    attached: Mapping[str, str] = field(default_factory=dict)
    mounts: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    addresses6: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_processes(self) -> bool:
        return self.running or self.paused

    def inner(self, port: int) -> int | None:
        """Return its own port that is `port` of this machine, if it publishes that itself."""
        return next(
            (inner for inner, binds in self.published.items() if any(bind.port == port for bind in binds)), None
        )


@dataclass(frozen=True)
class ListedContainer:
    """A container in the engine's list; `state` is in its words: running, paused, exited, created."""

    name: str
    state: str
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of the engine: its IPv4 range, its containers, and the engine's own address there if known.

    `subnet6` is its IPv6 range, if it has one. `lower` is the part of `subnet` from which the engine gives addresses to
    containers, where that is not all. Several networks may have the same name, but each has its own `id`.
    """

    name: str
    subnet: str
    labels: Mapping[str, str]
    members: frozenset[str]
    gateway: str = ""
    subnet6: str = ""
    id: str = ""
    lower: str = ""
