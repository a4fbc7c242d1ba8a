"""Where a sandbox is in a cluster that is not ours, for the steps that put something there."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.components.cluster.existing.tenant import Tenant
from sandbox.names import Names


@dataclass(frozen=True)
class Place:
    """One sandbox's namespace; the kubeconfig that leads there is made by the step `cluster`."""

    names: Names
    namespace: str

    @property
    def cluster(self) -> Tenant:
        """The cluster as this sandbox may use it. Raises ClusterError while there is no kubeconfig."""
        return Tenant(self.names.kubeconfig, self.namespace, self.names.name)
