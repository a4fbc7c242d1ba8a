"""What the engine is asked for and what it tells: containers, networks, and where they listen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from sandbox.fast_dataclass import dataclass

# Where a container listens on the machine without the engine's doing, as JSON.
LISTENS = "dev.sandbox.listens"


@dataclass(frozen=True, order=True)
class Bind:
    """A host address and port that reach a port of a container."""

    address: str
    port: int

    @property
    def asked_at(self) -> str:
        """Return the address at which this machine itself asks who listens here."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.address, self.address)  # noqa: S104


@dataclass(frozen=True)
class Placed:
    """What is put into a folder of a container: a file, or a folder where there is no `data`. `owner` is UID, GID."""

    data: bytes | None
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """A container to make; it gets only these capabilities, no new privileges, and restarts with the engine.

    It is on `network` at that IPv4 `address`, or at any, and on the networks `joined` too before it starts, at the
    address given for each, or at any. `folders` are of its own and writable for their owners; they have these files, by
    paths in them, before it starts.
    What it publishes, of TCP, is only noted unless `forwarded`: it then has sockets of the machine's own, or another
    container before it that publishes the port.
    """

    name: str
    image: str
    command: tuple[str, ...]
    labels: Mapping[str, str]
    network: str
    address: str = ""
    joined: Mapping[str, str] = field(default_factory=dict)
    publish: Mapping[int, tuple[Bind, ...]] = field(default_factory=dict)
    udp: Mapping[int, tuple[Bind, ...]] = field(default_factory=dict)
    forwarded: bool = True
    capabilities: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, Mapping[str, Placed]] = field(default_factory=dict)
    read_only_binds: Mapping[Path, str] = field(default_factory=dict)
    binds: Mapping[Path, str] = field(default_factory=dict)
    tmpfs: tuple[str, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    resolver: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    memory: str = "512m"
    processes: int = 4096


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container as the engine sees it now; one that is `held` still does not run, and has its ports.

    `published` are its ports of TCP, `udp` those of UDP. `network` is the one it was made on, `attached` those it is on
    with their ids, also while it is stopped, as far as they are known then. `mounts` are the folders and files of this
    machine that it has.
    """

    name: str
    id: str
    running: bool
    image: str
    labels: Mapping[str, str]
    addresses: Mapping[str, str]
    published: Mapping[int, frozenset[Bind]]
    udp: Mapping[int, frozenset[Bind]] = field(default_factory=dict)
    held: bool = False
    network: str = ""
    attached: Mapping[str, str] = field(default_factory=dict)
    mounts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Listed:
    """A container as the engine lists it among others; `state` is in its words: running, paused, exited, created."""

    name: str
    state: str
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of the engine: its IPv4 range, the containers on it, the engine's own address there if told.

    `subnet6` is its IPv6 range, if it has one. `lower` is the part of `subnet` of which the engine gives containers
    addresses, where that is not all. Several may have the same name, and none the same `id`.
    """

    name: str
    subnet: str
    labels: Mapping[str, str]
    members: frozenset[str]
    gateway: str = ""
    subnet6: str = ""
    id: str = ""
    lower: str = ""
