"""The cluster's own DNS, answering: until then pods resolve nothing, whatever the node says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster import dns
from sandbox.cluster.api import Cluster
from sandbox.cluster.readiness import pending, wait_ready
from sandbox.names import Names
from sandbox.steps.step import State, Status, Work


@dataclass(frozen=True)
class DnsStep:
    """CoreDNS comes with the cluster; this suits it to one node and waits for it.

    Pods reach the hosts of `domain` at the Service `ingress`, which is a name inside the cluster, if there is one.
    """

    names: Names
    domain: str
    ingress: str | None
    name: str = "dns"
    needs: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return "DNS of the cluster"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        waits_for = pending(cluster, dns.deployment(self._corefile))
        if waits_for:
            return Status(State.DRIFTED, waits_for)
        text = self._corefile
        found = cluster.get("v1", "ConfigMap", dns.NAME, dns.NAMESPACE) or {}
        live = cluster.get("apps/v1", "Deployment", dns.NAME, dns.NAMESPACE) or {}
        annotations = live["spec"]["template"]["metadata"].get("annotations") or {}
        wanted = dns.deployment(text)["spec"]["template"]["metadata"]["annotations"]
        if found.get("data") != dns.config_map(text)["data"] or annotations.get(dns.MARK) != wanted[dns.MARK]:
            return Status(State.DRIFTED, "another configuration")
        return Status(State.READY, f"*.{self.domain} inside too" if self.ingress else "")

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        cluster.apply(dns.config_map(self._corefile))
        deployment = dns.deployment(self._corefile)
        cluster.apply(deployment)
        wait_ready(cluster, [deployment], timeout=120)

    def undo(self) -> bool:
        return False

    @property
    def _corefile(self) -> str:
        return dns.corefile(domain=self.domain, service=self.ingress)
