"""Registries in the cluster, behind its ingress: what nodes need to pull from them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from sandbox.components.certificates.cluster_trust import ROOT
from sandbox.components.cluster.containerd_hosts import FOLDER, MARK
from sandbox.errors import succeeded
from sandbox.provider import Nodes
from sandbox.step import NothingToUndo, State, Status, Work

ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class TlsRegistryStep(NothingToUndo):
    """containerd's hosts.toml, with the sandbox's root, and the names in each node's /etc/hosts.

    The step that wires the registry removes the files of hosts that the spec does not have any more. The engine writes
    /etc/hosts again at every start of a node, and `up` then repairs it.
    """

    nodes: Nodes
    hosts: tuple[str, ...]
    port: int  # of the ingress on every node
    name: str = "tls-registry"
    requires: tuple[str, ...] = ("trust",)

    @property
    def title(self) -> str:
        return f"Pulls from {', '.join(self.hosts)}"

    def check(self) -> Status:
        wanted = host_files(self.hosts, self.port)
        for node in self.nodes.running():
            present = self.nodes.read_files(node, wanted)
            for path, content in wanted.items():
                if present[path] != content:
                    return Status(State.ABSENT if present[path] is None else State.DRIFTED, f"{path} on {node}")
            if unknown := self._unknown(node):
                return Status(State.DRIFTED, f"{', '.join(unknown)} in /etc/hosts on {node}")
        return Status(State.READY)

    def apply(self, work: Work) -> None:
        for node in self.nodes.running():
            self.nodes.write_files(node, host_files(self.hosts, self.port))
            for name in self._unknown(node):
                # Appended in place: the engine mounts this file, and would lose a replaced one.
                line = shlex.quote(f"{ADDRESS} {name}")
                ran = self.nodes.execute(node, ["sh", "-c", f"echo {line} >> /etc/hosts"])
                succeeded(ran, f"/etc/hosts on {node} cannot be written")

    def _unknown(self, node: str) -> list[str]:
        shown = succeeded(self.nodes.execute(node, ["cat", "/etc/hosts"]), f"/etc/hosts on {node} cannot be read")
        lines = {tuple(line.split()) for line in shown.splitlines()}
        names = dict.fromkeys(host.partition(":")[0] for host in self.hosts)
        return [name for name in names if (ADDRESS, name) not in lines]


def host_files(hosts: Iterable[str], port: int) -> dict[PurePosixPath, bytes]:
    """Return files for pulls of `HOST[:PORT]/…` that trust the sandbox's root (containerd docs, hosts.md).

    On the node the ingress listens on `port`, whatever port the host has at the edge. A `ca` that is not absolute is
    ignored.
    """
    contents = {}
    for host in hosts:
        url = f"https://{host.partition(':')[0]}:{port}"
        text = f'server = "{url}"\n\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n  ca = "{ROOT}"\n'
        contents[FOLDER / host / "hosts.toml"] = MARK + text.encode()
    return contents
