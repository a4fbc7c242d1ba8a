"""Files of this machine in nodes: mounted where the engine's machine is this one, else written and proved."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from sandbox.components.cluster import pod_proxy
from sandbox.components.cluster.pod_proxy import Proxied
from sandbox.engine import Engine, shared_folders
from sandbox.fast_dataclass import dataclass


@dataclass(frozen=True)
class NodeFiles:
    """The files that every node has, by their places in it."""

    engine: Engine
    files: Mapping[str, Path]
    proxied: Proxied

    @property
    def mounts(self) -> Mapping[Path, str]:
        """Return what new nodes are to have mounted; an engine elsewhere makes folders of files that it misses."""
        return {path: place for place, path in self.files.items()} if self.engine.shares_network() else {}

    def missing(self, node: str) -> tuple[str, ...]:
        """Return the places where the node has not the present content; most nodes have the files mounted."""
        return tuple(
            str(place)
            for place, path in self.read_of(node).items()
            if self.engine.read_file(node, place) != path.read_bytes()
        )

    def read_of(self, node: str) -> Mapping[PurePosixPath, Path]:
        """Return the files that only reading them in the node tells of: those that it does not have mounted."""
        found = self.engine.container(node)
        if found is None:
            return {}
        # Docker Desktop tells of a file by its path in the virtual machine, which ends in the one here.
        return {
            PurePosixPath(place): path
            for place, path in self.files.items()
            if path.exists() and not any(one.endswith(str(path)) for one in found.mounts)
        }

    def copy(self, nodes: Sequence[str]) -> None:
        """Write them into nodes that do not have them mounted."""
        for node in nodes:
            missing = self.missing(node)
            for place in missing:
                path = self.files[place]
                self.engine.write_file(node, PurePosixPath(place), path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
            if pod_proxy.DROP_IN in missing and not self.proxied.is_in_force(node):
                self.proxied.enforce(node)

    def require(self, node: str, asked: Mapping[Path, str]) -> None:
        """Raise SandboxError for a folder that the spec asks for and the node has not: such an engine says nothing."""
        if not self.engine.shares_network():
            read = partial(self.engine.read_file, node)
            shared_folders.require_seen(read, asked, self.engine.place, make=True)
