"""The cluster's own DNS, answering: until then pods resolve nothing, whatever the node says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.components.cluster import dns
from sandbox.engine import Engine
from sandbox.engine.container_host import host_address
from sandbox.kube import readiness
from sandbox.kube.api import Cluster
from sandbox.kube.deletion import is_leaving
from sandbox.kube.readiness import pending, progress, wait_ready
from sandbox.names import HOST, Names
from sandbox.provider import Nodes
from sandbox.step import State, Status, Work
from sandbox.system.resolvers import Upstream
from sandbox.system.wait import wait_until


@dataclass(frozen=True)
class DnsStep:
    """CoreDNS comes with the cluster; this suits it to the nodes and waits for it.

    Pods reach the hosts of `domain` at the Service `ingress`, which is a name inside the cluster, if there is one, and
    those of `hosts` at their addresses, and this machine by the names `machine`. All others are asked of `upstream`.
    """

    engine: Engine
    nodes: Nodes
    names: Names
    domain: str
    ingress: str | None
    upstream: Upstream
    hosts: Mapping[str, str] = field(default_factory=dict)
    machine: tuple[str, ...] = (HOST,)
    name: str = "dns"
    needs: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return "DNS of the cluster"

    def check(self) -> Status:
        cluster, text = Cluster(self.names.kubeconfig), self._corefile
        deployment = self._deployment(cluster, text)
        waits_for = pending(cluster, deployment)
        if waits_for:
            return Status(State.DRIFTED, waits_for)
        found = cluster.get("v1", "ConfigMap", dns.NAME, dns.NAMESPACE) or {}
        live = cluster.get("apps/v1", "Deployment", dns.NAME, dns.NAMESPACE) or {}
        annotations = live["spec"]["template"]["metadata"].get("annotations") or {}
        wanted = deployment["spec"]["template"]["metadata"]["annotations"]
        if found.get("data") != dns.config_map(text)["data"] or annotations.get(dns.MARK) != wanted[dns.MARK]:
            return Status(State.DRIFTED, "another configuration")
        behind = self._behind(cluster, text)
        if behind:
            return Status(State.DRIFTED, behind)
        asks = f"asks {', '.join(self.upstream.servers)}"
        return Status(State.READY, f"*.{self.domain} inside too, {asks}" if self.ingress else asks)

    def apply(self, work: Work) -> None:
        cluster, text = Cluster(self.names.kubeconfig), self._corefile
        cluster.apply(dns.config_map(text))
        deployment = self._deployment(cluster, text)
        cluster.apply(deployment)
        wait_ready(cluster, [deployment], timeout=120)
        if self._behind(cluster, text):
            readiness.refresh_pods(
                cluster, dns.NAMESPACE, deployment["spec"]["template"]["metadata"]["annotations"][dns.MARK]
            )
            wait_until(lambda: self._behind(cluster, text), what=self.title, timeout=120)

    def undo(self) -> bool:
        return False

    def _behind(self, cluster: Cluster, text: str) -> str | None:
        """Which pod is not ready or goes by old news, and of what.

        After a stop all that the API server says may be of before: the Deployment counts a pod as ready until a
        controller manager leads again, while the kubelet has said already that the pod has no address any more.
        """
        for pod in cluster.list("v1", "Pod", dns.NAMESPACE, selector=dns.PODS):
            name, status = pod["metadata"]["name"], pod.get("status") or {}
            if is_leaving(pod) or status.get("phase") in ("Failed", "Succeeded"):
                continue
            lacks = progress({**pod, "kind": "Pod"})
            if lacks or not status.get("podIP"):
                return f"{name} is not ready: {lacks or 'no address'}"
            found, _ = self.nodes.execute(pod["spec"]["nodeName"], dns.ask(status["podIP"], text))
            if found == dns.OTHERWISE:
                return f"{name} has not read its configuration yet"
            if found != 0:
                return f"{name} does not know the cluster's Services yet"
        return None

    def _deployment(self, cluster: Cluster, text: str) -> Mapping[str, Any]:
        return dns.deployment(text, cluster.get(*dns.API), alone=len(self.nodes.every()) == 1)

    @property
    def _corefile(self) -> str:
        address = host_address(self.engine, self.nodes.network, self.nodes.control_plane)
        return dns.corefile(
            domain=self.domain,
            service=self.ingress,
            nameservers=self.upstream.servers,
            zones=self.upstream.domains,
            hosts={**dict.fromkeys(self.machine, address), **self.hosts},
        )
