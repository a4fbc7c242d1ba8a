"""Whether a sandbox is in use: by clients at the edge, and by those of its API server's port on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from sandbox.components.cluster import kubeconfig
from sandbox.components.cluster.kubeconfig_lock import KubeconfigError
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.haproxy_admin import Control, Server
from sandbox.components.edge.listening import TCP
from sandbox.engine import Engine
from sandbox.names import Names
from sandbox.system import files, host_network


@dataclass(frozen=True)
class UseCounts:
    """The number of connections at the edge, in all and open now, and the open ones to the API server.

    It is not `healthy` where the edge takes a node for lost, and so refuses clients.
    """

    total: int
    open: int
    api: frozenset[str]
    healthy: bool = True

    @classmethod
    def read(cls, file: Path) -> UseCounts:
        """Return the value whose `to_json` is in the file. Raises OSError, and ValueError for another content."""
        return TypeAdapter(cls).validate_python(files.read_json(file))

    def to_json(self) -> bytes:
        return TypeAdapter(UseCounts).dump_json(self)

    def is_used(self, before: UseCounts) -> bool:
        """Tell whether a client has come since `before`; a total that fell is that of another process of the edge."""
        came = self.total > before.total or (self.total < before.total and self.open > 0)
        return came or bool(self.api - before.api)


@dataclass(frozen=True)
class Use:
    names: Names
    control: Control

    @classmethod
    def of(cls, engine: Engine, names: Names) -> Use:
        return cls(names, EdgeContainer.of(engine, names.home).control)

    def read(self) -> UseCounts:
        servers = self._servers()
        return UseCounts(
            total=sum(server.total for server in servers),
            open=sum(server.current for server in servers),
            # Each by its ends; none where the port is unknown.
            api=host_network.connections_to(self._api_port) if self._api_port else frozenset(),
            healthy=all(server.health != "DOWN" for server in servers),
        )

    def trust_servers(self, *, healthy: bool) -> None:
        """Have the edge take the sandbox's nodes as `healthy` without checking them, or check them again."""
        with contextlib.suppress(OSError):  # then no client reaches the sandbox by the edge either
            for server in self._servers():
                place = f"{server.backend}/{server.name}"
                self.control.ask(f"@1 {'disable' if healthy else 'enable'} health {place}")
                if healthy:
                    self.control.ask(f"@1 set server {place} health up")

    def cut(self) -> None:
        """Have the edge end its connections to the sandbox, including those of workers from before reloads."""
        with contextlib.suppress(OSError):
            servers = self._servers()
            for worker in self.control.workers():
                for server in servers:
                    self.control.ask(f"@!{worker} shutdown sessions server {server.backend}/{server.name}")

    def _servers(self) -> Sequence[Server]:
        own, more = self.names.name, (f"{self.names.name}:", f"{TCP}{self.names.name}:")
        with contextlib.suppress(OSError):
            return [each for each in self.control.servers() if each.backend == own or each.backend.startswith(more)]
        return ()

    @cached_property
    def _api_port(self) -> int:
        try:
            return urlsplit(kubeconfig.server_of(self.names.kubeconfig)).port or 0
        except (KubeconfigError, ValueError):
            return 0
