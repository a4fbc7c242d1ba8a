"""Registries that run in the cluster, behind its ingress, made known to the nodes that are to pull from them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from sandbox.components.registry import tls_config
from sandbox.errors import SandboxError
from sandbox.provider import Nodes
from sandbox.step import NothingToUndo, State, Status, Work

ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class TlsRegistryStep(NothingToUndo):
    """containerd's hosts.toml, with the sandbox's root, and the names in each node's /etc/hosts; goes with the cluster.

    The engine writes /etc/hosts again at every start of a node, and `up` then repairs it.
    """

    nodes: Nodes
    hosts: tuple[str, ...]
    name: str = "tls-registry"
    requires: tuple[str, ...] = ("trust",)

    @property
    def title(self) -> str:
        return f"Pulls from {', '.join(self.hosts)}"

    def check(self) -> Status:
        for node in self.nodes.running():
            for path, content in tls_config.host_files(self.hosts).items():
                found = self.nodes.read_file(node, path)
                if found != content:
                    return Status(State.ABSENT if found is None else State.DRIFTED, f"{path} on {node}")
            unknown = self._unknown(node)
            if unknown:
                return Status(State.DRIFTED, f"{', '.join(unknown)} in /etc/hosts on {node}")
        return Status(State.READY)

    def apply(self, work: Work) -> None:
        for node in self.nodes.running():
            for path, content in tls_config.host_files(self.hosts).items():
                self.nodes.write_file(node, path, content)
            for name in self._unknown(node):
                # Appended in place: the engine mounts this file, and would lose a replaced one.
                self._run(node, ["sh", "-c", f"echo {shlex.quote(f'{ADDRESS} {name}')} >> /etc/hosts"])

    def _unknown(self, node: str) -> list[str]:
        """Return the registries' names that the node's /etc/hosts has not."""
        known = {tuple(line.split()) for line in self._run(node, ["cat", "/etc/hosts"]).splitlines()}
        return [name for name in tls_config.names(self.hosts) if (ADDRESS, name) not in known]

    def _run(self, node: str, argv: list[str]) -> str:
        status, output = self.nodes.execute(node, argv)
        if status != 0:
            raise SandboxError(f"/etc/hosts on {node} cannot be read or written", details=output)
        return output
