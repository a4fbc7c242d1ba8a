"""Nameservers and proxy in nodes, as files: mounted where the engine's machine is this one, else written and proved."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from sandbox.components.cluster import pod_proxy
from sandbox.components.cluster.docker_nodes import DockerNodes
from sandbox.components.cluster.kind.cluster_config import RESOLV_CONF
from sandbox.components.cluster.pod_proxy import Proxied
from sandbox.engine import shared_folders
from sandbox.errors import succeeded
from sandbox.names import Names
from sandbox.system.resolvers import resolv_conf

MAX_NAMESERVERS = 3  # of a resolv.conf(5); the kubelet leaves out more


@dataclass(frozen=True, kw_only=True)
class NodeFiles:
    """The files that every one of the `nodes` has, and what they say of nameservers, search domains and the proxy."""

    nodes: DockerNodes
    names: Names
    nameservers: tuple[str, ...]
    search: tuple[str, ...]
    proxied: Proxied

    @property
    def places(self) -> Mapping[str, Path]:
        return {RESOLV_CONF: self.names.resolv_conf, pod_proxy.DROP_IN: self.names.proxy_conf}

    @property
    def mounts(self) -> Mapping[Path, str]:
        """Return what new nodes are to have mounted; an engine elsewhere makes folders of files that it misses."""
        return {path: place for place, path in self.places.items()} if self.nodes.engine.shares_network() else {}

    def write(self) -> None:
        """Write what they are to say now, in place: they are mounted, and replaced ones would no longer be."""
        self.names.resolv_conf.write_text(self._resolv_conf(), encoding="utf-8")
        self.names.resolv_conf.chmod(0o644)
        self.write_proxy()

    def write_proxy(self) -> None:
        """Do the same for what says the proxy, which no node need run for."""
        self.names.proxy_conf.touch(0o600)
        self.names.proxy_conf.write_text(self.proxied.drop_in(), encoding="utf-8")

    def has_other_nameservers(self) -> bool:
        path = self.names.resolv_conf
        return path.exists() and self._resolv_conf() != path.read_text(encoding="utf-8")

    def missing(self, node: str) -> tuple[str, ...]:
        """Return the places where the node has not the present content; most nodes have the files mounted."""
        return tuple(
            str(place)
            for place, path in self.read_of(node).items()
            if self.nodes.read_file(node, place) != path.read_bytes()
        )

    def read_of(self, node: str) -> Mapping[PurePosixPath, Path]:
        """Return the files that only reading them in the node tells of: those that it does not have mounted."""
        found = self.nodes.engine.container(node)
        if found is None:
            return {}
        # Docker Desktop tells of a file by its path in the virtual machine, which ends in the one here.
        return {
            PurePosixPath(place): path
            for place, path in self.places.items()
            if path.exists() and not any(mount.endswith(str(path)) for mount in found.mounts)
        }

    def copy(self, nodes: Sequence[str]) -> None:
        for node in nodes:
            missing = self.missing(node)
            for place in missing:
                path = self.places[place]
                self.nodes.write_file(node, PurePosixPath(place), path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
            if pod_proxy.DROP_IN in missing and not self.proxied.is_in_force(node):
                self.proxied.enforce(node)

    def require(self, node: str, asked: Mapping[Path, str]) -> None:
        """Raise SandboxError for a folder that the spec asks for and the node has not: such an engine says nothing."""
        engine = self.nodes.engine
        if not engine.shares_network():
            shared_folders.require_seen(partial(engine.read_file, node), asked)

    def _resolv_conf(self) -> str:
        # Pods of a node's own network, kube-proxy among them, look for the control plane by its container's name.
        first = self._engine_nameserver() if self.nodes.are_several() else ()
        return resolv_conf((*first, *self.nameservers)[:MAX_NAMESERVERS], self.search)

    def _engine_nameserver(self) -> tuple[str, ...]:
        """Return the nameserver of the nodes themselves; none while there is no node."""
        node = self.names.node
        if self.nodes.engine.container(node) is None:
            return ()
        ran = self.nodes.execute(node, ["sh", "-c", "cat /etc/resolv.conf"])
        output = succeeded(ran, f"the nameserver of {node} cannot be read")
        return tuple(line.split()[1] for line in output.splitlines() if line.startswith("nameserver "))[:1]
