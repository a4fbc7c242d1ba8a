"""CoreDNS for a sandbox: the names it answers itself, and nameservers for all others."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sandbox.engine import Engine
from sandbox.engine.container_host import connects, host_address
from sandbox.kube.api import Cluster, title
from sandbox.kube.readiness import troubles, wait_ready
from sandbox.kube.workload_status import progress
from sandbox.names import HOST, Names
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system.resolvers import Upstream
from sandbox.system.wait import wait_until

NAMESPACE = "kube-system"
NAME = "coredns"
SERVICES = "svc"  # the names of Services are below it, in the sandbox's domain and in the cluster's
CLUSTER = f"{SERVICES}.cluster.local"
REPLICAS = 2  # as kubeadm has it; it may have been scaled to none
# The DaemonSets that connect pods, in the bundle's nodes and in the node images that kind and minikube publish. Until
# they translate addresses, a pod's connection to another machine gets no answer, and its retries fail for two minutes.
POD_NETWORK = ("flannel", "kindnet", "kube-proxy", "kube-router")
# An annotation of CoreDNS's pods: a hash of the Corefile that they were started with.
MARK = "sandbox.dev/corefile"

# kubeadm's own (cmd/kubeadm/app/phases/addons/dns/manifests.go), with places for the values below.
_COREFILE = """.:53 {{
    errors
    health {{
       lameduck 5s
    }}
    ready
{rule}{hosts}    kubernetes cluster.local in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }}
    prometheus :9153
{forwards}    cache 30 {{
       disable success cluster.local
       disable denial cluster.local
    }}
    loop
    reload
    loadbalance
}}
"""


def service_name(service: str, domain: str) -> str:
    return f"{_dotted(service)}.{SERVICES}.{domain}"


def _dotted(service: str) -> str:
    namespace, _, name = service.partition("/")
    return f"{name}.{namespace}"


def _pattern(name: str) -> str:
    return re.escape(name).replace(r"\-", "-")


def _rewrite(pattern: str, name: str) -> str:
    return f"    rewrite stop name regex ^{pattern}\\.$ {name}. answer auto\n"


def config_map(text: str) -> dict[str, Any]:
    metadata = {"name": NAME, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": text}}


def deployment(corefile: str) -> dict[str, Any]:
    """Return the changes to kubeadm's Deployment, which restart its pods for another Corefile.

    CoreDNS would read it, too (`reload`), after a minute or two. The kubelet waits up to a period, by default ten
    seconds, before it probes a pod for the first time.
    """
    container = {"name": NAME, "readinessProbe": {"periodSeconds": 1}}
    template = {"metadata": {"annotations": {MARK: _hash(corefile)}}, "spec": {"containers": [container]}}
    metadata = {"name": NAME, "namespace": NAMESPACE}
    spec = {"replicas": REPLICAS, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _hash(corefile: str) -> str:
    return hashlib.sha256(corefile.encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True)
class Dns:
    """What pods on `network` resolve.

    `domain` and every name below it have the address of the Service `ingress`, a name inside the cluster, if there is
    one; names below svc.DOMAIN are those of Services (`service_name`). The names `hosts` have their addresses, the
    names `services` those of a Service (NAMESPACE/NAME) each, and the names `machine` the address of this machine. All
    others are asked of `upstream`.
    """

    engine: Engine
    names: Names
    network: str
    domain: str
    ingress: str | None
    upstream: Upstream
    hosts: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, str] = field(default_factory=dict)
    machine: tuple[str, ...] = (HOST,)

    def corefile(self) -> str:
        """Return the configuration of CoreDNS.

        The name of the Service `ingress` is looked up at each query, so it may be created later, and recreated.
        Programs that resolve every name under `localhost` to this machine themselves (curl, browsers) do not ask
        CoreDNS. Nameservers are written here and not in a resolv.conf, of which a pod keeps the first version.
        """
        name = _pattern(self.domain)
        rules = [_rewrite(rf"(.+)\.{SERVICES}\.{name}", f"{{1}}.{CLUSTER}")]
        rules += [_rewrite(_pattern(host), f"{_dotted(to)}.{CLUSTER}") for host, to in sorted(self.services.items())]
        rules += [_rewrite(rf"(.*\.)?{name}", self.ingress)] if self.ingress else []
        address = host_address(self.engine, self.network, self.names.node)
        hosts = {**dict.fromkeys(self.machine, address), **self.hosts}
        lines = "".join(f"       {address} {host}\n" for host, address in sorted(hosts.items()))
        forwards = [*sorted(self.upstream.domains.items()), (".", self.upstream.servers)]
        return _COREFILE.format(
            rule="".join(rules),
            hosts=f"    hosts {{\n{lines}       ttl 30\n       fallthrough\n    }}\n" if lines else "",
            forwards="".join(
                f"    forward {zone} {' '.join(servers)} {{\n       max_concurrent 1000\n    }}\n"
                for zone, servers in forwards
            ),
        )


@dataclass(frozen=True)
class DnsStep(NothingToUndo):
    """CoreDNS comes with the cluster, and kind's with its configuration; this step corrects it.

    It waits for CoreDNS and for the pod network, without which pods reach neither CoreDNS nor other machines.
    """

    names: Names
    dns: Dns
    node: str  # the container of the control plane
    name: str = "dns"
    requires: tuple[str, ...] = ("cluster",)
    title: str = "DNS of the cluster"

    def check(self) -> Status:
        cluster, text = Cluster(self.names.kubeconfig), self.dns.corefile()
        live = cluster.get("v1", "ConfigMap", NAME, NAMESPACE) or {}
        if live.get("data") != config_map(text)["data"]:
            return Status(State.DRIFTED, "another configuration")
        trouble = _absence(cluster) or next(troubles(cluster, [deployment(text)]), None)
        if problem := trouble or _network_problem(cluster):
            return Status(State.DRIFTED, problem)
        spec = (cluster.get("apps/v1", "Deployment", NAME, NAMESPACE) or {})["spec"]
        if spec.get("replicas") == 0:
            return Status(State.DRIFTED, "CoreDNS is scaled to 0 pods")
        if (spec["template"]["metadata"].get("annotations") or {}).get(MARK) != _hash(text):
            return Status(State.DRIFTED, "pods with another configuration")
        return self._ready

    def apply(self, work: Work) -> Status:
        cluster, text = Cluster(self.names.kubeconfig), self.dns.corefile()
        wait_until(partial(_absence, cluster), what="kubeadm's CoreDNS", timeout=120, pause=0.1)
        changes = deployment(text)
        cluster.apply(config_map(text))
        cluster.apply(changes)
        wait_ready(cluster, [changes], timeout=120)
        wait_until(partial(_network_problem, cluster), what="the pod network", timeout=120, pause=0.1)
        wait_until(partial(self._service_problem, cluster), what="the Service of CoreDNS", timeout=60, pause=0.1)
        return self._ready

    def _service_problem(self, cluster: Cluster) -> str | None:
        # kube-proxy learns a second later than the Deployment that CoreDNS is ready, and refuses queries until then.
        service = cluster.get("v1", "Service", "kube-dns", NAMESPACE)
        if service is None:
            return None
        address = service["spec"]["clusterIP"]
        # By TCP, because bash cannot wait for an answer by UDP; kube-proxy sets up both at the same time.
        is_reached = connects(self.dns.engine, self.node, address, "53")
        return None if is_reached else f"no connection to {address}"

    @property
    def _ready(self) -> Status:
        asks = f"asks {', '.join(self.dns.upstream.servers)}"
        return Status(State.READY, f"*.{self.dns.domain} inside too, {asks}" if self.dns.ingress else asks)


def _absence(cluster: Cluster) -> str | None:
    # kubeadm creates it last.
    return None if cluster.get("apps/v1", "Deployment", NAME, NAMESPACE) else "not there yet"


def _network_problem(cluster: Cluster) -> str | None:
    for daemon_set in cluster.list("apps/v1", "DaemonSet", NAMESPACE):
        if daemon_set["metadata"]["name"] in POD_NETWORK and (problem := progress(daemon_set)):
            return f"{title(daemon_set)}: {problem}"
    return None
