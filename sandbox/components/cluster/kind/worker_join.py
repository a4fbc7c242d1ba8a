"""Adds a worker to a running kind cluster by a container like the others and `kubeadm join`; kind itself cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from sandbox.errors import SandboxError, succeeded
from sandbox.provider import Nodes
from sandbox.system.wait import wait_until

ROLE = "io.x-k8s.kind.role"
PORT = 6443
# Where kind has it too, and where the node image looks for addresses that change.
CONFIG = PurePosixPath("/kind/kubeadm.conf")
# The account of a kubelet that has joined, in files elsewhere.
JOINED = PurePosixPath("/etc/kubernetes/kubelet.conf")
ADMIN = ("--kubeconfig", "/etc/kubernetes/admin.conf")
START_TIMEOUT = 60.0
# Waits in the node for some seconds, for each command that an engine is given takes it a tenth of a second.
_CONTAINERD = """
tries=50
until state=$(systemctl is-active containerd 2>&1) || [ $((tries -= 1)) = 0 ]; do sleep 0.1; done
echo "$state"
[ "$state" = active ]
"""
_JOIN = re.compile(r"--token (\S+) --discovery-token-ca-cert-hash (\S+)")


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The workers of a cluster, whose names are `wanted`; with `dual` they have IPv6 addresses too."""

    nodes: Nodes
    cluster: str
    wanted: tuple[str, ...]
    dual: bool = False

    def missing(self) -> list[str]:
        existing = {node.name for node in self.nodes.all()}
        return [name for name in self.wanted if name not in existing]

    def unjoined(self) -> list[str]:
        """Return the workers that have not joined: their command was killed after it had created the container."""
        existing = [node.name for node in self.nodes.all() if node.name in self.wanted]
        return [name for name in existing if self.nodes.read_file(name, JOINED) is None]

    def add(self, name: str, files: Mapping[PurePosixPath, bytes], image: str | None = None) -> None:
        """Create the container `name` with `files` and join it as a worker, in place of a lost node of that name.

        `image` is its node image, by default the control plane's. Raises SandboxError after removing the container.
        """
        engine, control_plane = self.nodes.engine, self.nodes.control_plane
        engine.run_another(name, control_plane, {ROLE: "worker"}, without=("KUBECONFIG",), image=image)
        try:
            wait_until(lambda: self.silence(name), what=name, timeout=START_TIMEOUT)
            self._run(control_plane, "kubectl", *ADMIN, "delete", "node", name, "--ignore-not-found")
            engine.write_files(name, {CONFIG: yaml.safe_dump(self._join(name)).encode(), **files})
            self._run(name, "kubeadm", "join", "--config", str(CONFIG))
        except BaseException:
            engine.remove_container(name)
            raise

    def silence(self, node: str) -> str | None:
        status, output = self.nodes.engine.execute(node, ["sh", "-c", _CONTAINERD])
        return None if status == 0 else f"containerd is {output.strip()}"

    def _join(self, name: str) -> dict[str, Any]:
        """Return kubeadm's configuration (kubeadm.k8s.io/v1beta4) with a token for the next ten minutes."""
        command = self._run(self.nodes.control_plane, "kubeadm", "token", "create", "--ttl=10m", "--print-join-command")
        join, container = _JOIN.search(command), self.nodes.engine.container(name)
        if join is None or container is None:
            raise SandboxError("kubeadm does not say how to join", details=command)
        network = self.nodes.network
        addresses = [container.addresses[network], *([container.addresses6[network]] if self.dual else [])]
        # As kind gives its kubelets.
        arguments = {"node-ip": ",".join(addresses), "provider-id": f"kind://docker/{self.cluster}/{name}"}
        return {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "JoinConfiguration",
            "nodeRegistration": {
                "name": name,
                "criSocket": "unix:///run/containerd/containerd.sock",
                "kubeletExtraArgs": [{"name": key, "value": value} for key, value in arguments.items()],
            },
            "discovery": {
                "bootstrapToken": {
                    "apiServerEndpoint": f"{self.nodes.control_plane}:{PORT}",
                    "token": join[1],
                    "caCertHashes": [join[2]],
                }
            },
            # It asks for swap to be off and for kernel modules, which a container has no say in.
            "skipPhases": ["preflight"],
        }

    def _run(self, node: str, *argv: str) -> str:
        return succeeded(self.nodes.engine.execute(node, argv), f"`{' '.join(argv[:3])}` failed on {node}")
