"""The page for unknown hosts, kept in step with the hosts there are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.components.ingress import default_backend
from sandbox.kube import readiness
from sandbox.kube.api import Cluster
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.step import State, Status, Work


@dataclass(frozen=True)
class PageStep:
    """The default backend's content, made from the Ingresses in the cluster; goes with the cluster."""

    names: Names
    port: int
    needs: tuple[str, ...]
    name: str = "page"

    @property
    def title(self) -> str:
        return "Page for unknown hosts"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        found = cluster.get("v1", "ConfigMap", "default-backend", SYSTEM_NAMESPACE)
        wanted = self._manifest(cluster)
        if (found or {}).get("data") != wanted["data"]:
            return Status(State.DRIFTED if found else State.ABSENT, "lists other hosts")
        return Status(State.READY)

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        wanted = self._manifest(cluster)
        cluster.apply(wanted)
        mark = hashlib.sha256(wanted["data"]["404.html"].encode()).hexdigest()[:16]
        readiness.refresh_pods(cluster, SYSTEM_NAMESPACE, mark)

    def undo(self) -> bool:
        return False

    def _manifest(self, cluster: Cluster) -> Mapping[str, Any]:
        hosts = default_backend.hosts_of(cluster.list("networking.k8s.io/v1", "Ingress"))
        return default_backend.manifest(default_backend.render(self.names.name, hosts, port=self.port))
