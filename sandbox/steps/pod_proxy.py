"""The proxy to the outside for pods: namespaces that ask for it by a label have their new pods told of it."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster import proxy
from sandbox.cluster.api import Cluster, ClusterError
from sandbox.names import Names
from sandbox.steps.proxied import Proxied
from sandbox.steps.step import State, Status, Work


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
        cluster = Cluster(self.names.kubeconfig)
        found = _kept(cluster)
        variables = self.proxied.variables()
        if not variables:
            return Status(State.DRIFTED, "a proxy that is no more") if found else Status(State.READY, "none")
        wanted, _ = proxy.policy(variables)
        if (found or {}).get("variables") != wanted["spec"]["variables"]:
            return Status(State.DRIFTED, "another proxy" if found else "pods are not told of it")
        return Status(State.READY, f"{self.proxied} for the node, and namespaces with {proxy.LABEL}=true")

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        variables = self.proxied.variables()
        if variables:
            try:
                cluster.apply_all(proxy.policy(variables))
            except ClusterError as error:
                if error.status != 404:
                    raise
                # Only pods go without; the node has it.
                work.say(f"not for pods: {error.details or error.brief}")
            return
        for one in proxy.policy({}):
            cluster.delete(one["apiVersion"], one["kind"], one["metadata"]["name"])

    def undo(self) -> bool:
        return False


def _kept(cluster: Cluster) -> dict[str, object] | None:
    """What the policy in the cluster says, if there is one."""
    try:
        found = cluster.get(proxy.API, "MutatingAdmissionPolicy", proxy.POLICY)
    except ClusterError as error:
        if error.status == 404:
            return None
        raise
    return None if found is None else dict(found["spec"])
