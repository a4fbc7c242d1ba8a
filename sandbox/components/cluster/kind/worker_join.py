"""Adds a worker to a running kind cluster by a container like the others and `kubeadm join`; kind itself cannot."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from sandbox.engine import Engine
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


def add(
    nodes: Nodes, cluster: str, name: str, files: Mapping[PurePosixPath, bytes], image: str | None, *, dual: bool
) -> None:
    """Create the container `name` with `files` and join it as a worker, in place of a lost node of that name.

    `image` is its node image, by default the control plane's; with `dual` it has IPv6 addresses too. Raises
    SandboxError after removing the container.
    """
    engine, control_plane = nodes.engine, nodes.control_plane
    engine.run_another(name, control_plane, {ROLE: "worker"}, without=("KUBECONFIG",), image=image)
    try:
        wait_until(lambda: silence(engine, name), what=name, timeout=START_TIMEOUT)
        _run(engine, control_plane, "kubectl", *ADMIN, "delete", "node", name, "--ignore-not-found")
        configuration = _configuration(nodes, cluster, name, dual=dual)
        engine.write_files(name, {CONFIG: yaml.safe_dump(configuration).encode(), **files})
        _run(engine, name, "kubeadm", "join", "--config", str(CONFIG))
    except BaseException:
        engine.remove_container(name)
        raise


def silence(engine: Engine, node: str) -> str | None:
    """Return why a node that starts cannot be used yet, or None."""
    status, output = engine.execute(node, ["sh", "-c", _CONTAINERD])
    return None if status == 0 else f"containerd is {output.strip()}"


def _configuration(nodes: Nodes, cluster: str, name: str, *, dual: bool) -> dict[str, Any]:
    create = ("kubeadm", "token", "create", "--ttl=10m", "--print-join-command")
    command = _run(nodes.engine, nodes.control_plane, *create)
    join, container = _JOIN.search(command), nodes.engine.container(name)
    if join is None or container is None:
        raise SandboxError("kubeadm does not say how to join", details=command)
    addresses = [container.addresses[nodes.network], *([container.addresses6[nodes.network]] if dual else [])]
    # As kind gives its kubelets.
    arguments = {"node-ip": ",".join(addresses), "provider-id": f"kind://docker/{cluster}/{name}"}
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
                "apiServerEndpoint": f"{nodes.control_plane}:{PORT}",
                "token": join[1],
                "caCertHashes": [join[2]],
            }
        },
        # It asks for swap to be off and for kernel modules, which a container has no say in.
        "skipPhases": ["preflight"],
    }


def _run(engine: Engine, node: str, *argv: str) -> str:
    return succeeded(engine.execute(node, argv), f"`{' '.join(argv[:3])}` failed on {node}")
