"""Whether anybody uses a sandbox: its clients at the edge, and those of its API server's port on this machine."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from functools import cached_property
from urllib.parse import urlsplit

import yaml

from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.haproxy_admin import Control, Server
from sandbox.components.edge.haproxy_tcp import PREFIX
from sandbox.config import yaml_text
from sandbox.engine import Engine
from sandbox.fast_dataclass import dataclass
from sandbox.names import Names
from sandbox.system import tcp_connections


@dataclass(frozen=True)
class Seen:
    """How many connections the edge has passed on so far, how many are open, and the API server's open ones.

    It is not `healthy` where the edge takes a node for lost, and so turns clients away.
    """

    total: int
    open: int
    api: frozenset[str]
    healthy: bool = True

    @classmethod
    def from_json(cls, data: bytes) -> Seen:
        """Return what `to_json` wrote."""
        content = json.loads(data)
        return cls(content["total"], content["open"], frozenset(content["api"]))

    def to_json(self) -> bytes:
        """Return it for a file."""
        return json.dumps({"total": self.total, "open": self.open, "api": sorted(self.api)}).encode()

    def is_used(self, before: Seen) -> bool:
        """Tell whether anyone has come since `before`; a total that fell is that of another process of the edge."""
        came = self.total > before.total or (self.total < before.total and self.open > 0)
        return came or bool(self.api - before.api)


@dataclass(frozen=True)
class Use:
    """The use of the sandbox `names`, by what the edge says that `control` leads to."""

    names: Names
    control: Control

    @classmethod
    def of(cls, engine: Engine, names: Names) -> Use:
        """Return what tells of a sandbox's use on an engine."""
        return cls(names, EdgeContainer.of(engine, names.home).control)

    def look(self) -> Seen:
        """Return who has come so far."""
        servers = self._servers()
        healthy = all(one.health != "DOWN" for one in servers)
        return Seen(sum(one.total for one in servers), sum(one.current for one in servers), self._api(), healthy)

    def trust_servers(self, *, healthy: bool) -> None:
        """Let the edge take the sandbox's nodes as `healthy` without asking them, or ask them again."""
        with contextlib.suppress(OSError):  # then no client reaches the sandbox by the edge either
            self.control.trust(self._servers(), healthy=healthy)

    def cut(self) -> None:
        """Let the edge end what connections its clients have to the sandbox."""
        with contextlib.suppress(OSError):
            self.control.cut(self._servers())

    def _servers(self) -> Sequence[Server]:
        """Return the servers that are the sandbox's; none where the edge cannot be asked."""
        own, more = self.names.name, (f"{self.names.name}:", f"{PREFIX}{self.names.name}:")
        with contextlib.suppress(OSError):
            return [one for one in self.control.servers() if one.backend == own or one.backend.startswith(more)]
        return ()

    def _api(self) -> frozenset[str]:
        """Return the open connections to the API server's port, each by its ends; none where nothing tells."""
        return tcp_connections.to_port(self._api_port) if self._api_port else frozenset()

    @cached_property
    def _api_port(self) -> int:
        try:
            content = yaml_text.document(self.names.kubeconfig.read_bytes())
            return urlsplit(content["clusters"][0]["cluster"]["server"]).port or 0
        except (OSError, yaml.YAMLError, KeyError, IndexError, TypeError, ValueError):
            return 0
