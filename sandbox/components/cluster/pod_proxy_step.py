"""The proxy to the outside for pods: namespaces that ask for it by a label have their new pods told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.components.cluster import pod_proxy
from sandbox.components.cluster.node_proxy_env import Proxied
from sandbox.kube.api import Cluster, ClusterError
from sandbox.names import Names
from sandbox.step import State, Status, Work


@dataclass(frozen=True)
class PodProxyStep:
    """An admission policy, as long as there is a proxy; pods that run already keep what they have."""

    names: Names
    proxied: Proxied
    name: str = "pod-proxy"
    needs: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return "Proxy to the outside"

    def check(self) -> Status:
        variables, policies = self.proxied.variables(), _policies(Cluster(self.names.kubeconfig))
        if policies is None:
            return Status(State.READY, f"{self.proxied} for the node; this Kubernetes cannot tell pods")
        found = policies.get(pod_proxy.POLICY)
        if not variables:
            return Status(State.DRIFTED, "a proxy that is no more") if found else Status(State.READY, "none")
        wanted, _ = pod_proxy.policy(variables)
        if (found or {}).get("variables") != wanted["spec"]["variables"]:
            return Status(State.DRIFTED, "another proxy" if found else "pods are not told of it")
        return Status(State.READY, f"{self.proxied} for the node, and namespaces with {pod_proxy.LABEL}=true")

    def apply(self, work: Work) -> None:
        cluster, variables = Cluster(self.names.kubeconfig), self.proxied.variables()
        if variables:
            cluster.apply_all(pod_proxy.policy(variables))
            return
        for one in pod_proxy.policy({}):
            cluster.delete(one["apiVersion"], one["kind"], one["metadata"]["name"])

    def undo(self) -> bool:
        return False


def _policies(cluster: Cluster) -> Mapping[str, Mapping[str, Any]] | None:
    """What the cluster's policies say, by their names; None for a Kubernetes before 1.36, which has no such thing."""
    try:
        return {one["metadata"]["name"]: one["spec"] for one in cluster.list(pod_proxy.API, "MutatingAdmissionPolicy")}
    except ClusterError as error:
        if error.status == 404:
            return None
        raise
