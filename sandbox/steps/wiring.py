"""The registry joined to the cluster, so that nodes pull from it by either of its names and tools can discover it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sandbox.cluster.api import Cluster
from sandbox.cluster.local_registry import SERVICE, host_files, hosting, service
from sandbox.cluster.namespace import namespace
from sandbox.errors import SandboxError
from sandbox.host.engine import Engine
from sandbox.names import NETWORK, REGISTRY_PORT, SYSTEM_NAMESPACE, Names
from sandbox.steps.step import State, Status, Work


@dataclass(frozen=True)
class WiringStep:
    """containerd's hosts.toml on the node, the ConfigMap of KEP-1755, and a Service for pods; goes with the cluster."""

    engine: Engine
    names: Names
    port: int
    name: str = "wiring"
    needs: tuple[str, ...] = ("cluster", "registry")

    @property
    def title(self) -> str:
        return "Registry wired to the cluster"

    def check(self) -> Status:
        for path, content in self._host_files.items():
            found = self.engine.read_file(self.names.node, path)
            if found != content:
                return Status(State.ABSENT if found is None else State.DRIFTED, f"{path} on {self.names.node}")
        cluster = Cluster(self.names.kubeconfig)
        wanted = self._hosting
        found_map = cluster.get("v1", "ConfigMap", wanted["metadata"]["name"], wanted["metadata"]["namespace"])
        if (found_map or {}).get("data") != wanted["data"]:
            return Status(State.DRIFTED, "the ConfigMap local-registry-hosting")
        if cluster.get("v1", "Service", SERVICE, SYSTEM_NAMESPACE) is None:
            return Status(State.DRIFTED, f"the Service {SERVICE}")
        found_slice = cluster.get("discovery.k8s.io/v1", "EndpointSlice", SERVICE, SYSTEM_NAMESPACE) or {}
        if [one["addresses"] for one in found_slice.get("endpoints") or ()] != [[self._address]]:
            return Status(State.DRIFTED, "the registry's address")
        return Status(State.READY, f"as {self._names[0]} and {self._names[1]}")

    def apply(self, work: Work) -> None:
        for path, content in self._host_files.items():
            self.engine.write_file(self.names.node, path, content)
        cluster = Cluster(self.names.kubeconfig)
        cluster.apply(self._hosting)
        cluster.apply(namespace(SYSTEM_NAMESPACE))
        cluster.apply_all(service(SYSTEM_NAMESPACE, address=self._address, port=REGISTRY_PORT))

    def undo(self) -> bool:
        return False

    @property
    def _names(self) -> tuple[str, ...]:
        in_cluster = f"{SERVICE}.{SYSTEM_NAMESPACE}.svc.cluster.local:{REGISTRY_PORT}"
        return (f"localhost:{self.port}", f"{self.names.registry}:{REGISTRY_PORT}", in_cluster)

    @property
    def _host_files(self) -> Mapping[PurePosixPath, bytes]:
        return host_files(self._names, f"http://{self.names.registry}:{REGISTRY_PORT}")

    @property
    def _hosting(self) -> Mapping[str, Any]:
        host, container_runtime, cluster_network = self._names
        return hosting(host=host, container_runtime=container_runtime, cluster_network=cluster_network)

    @property
    def _address(self) -> str:
        container = self.engine.container(self.names.registry)
        address = container.addresses.get(NETWORK) if container else None
        if address is None:
            raise SandboxError(f"the registry has no address on the network {NETWORK}", fix="sandbox up")
        return address
