"""CoreDNS for a sandbox: the names it answers itself, nameservers for all others, and one pod on a single node."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sandbox.engine import Engine
from sandbox.engine.container_host import host_address
from sandbox.engine.questions import Question
from sandbox.kube import readiness
from sandbox.kube.api import Cluster
from sandbox.kube.deletion import is_leaving
from sandbox.kube.readiness import pending, wait_ready
from sandbox.kube.workload_status import progress
from sandbox.names import HOST, SHIM, SPARING, Names
from sandbox.provider import Nodes
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import files
from sandbox.system.resolvers import Upstream
from sandbox.system.wait import wait_until

NAMESPACE = "kube-system"
NAME = "coredns"
PODS = "k8s-app=kube-dns"
SERVICES = "svc"  # the names of Services are below it, in the sandbox's domain and in the cluster's
CLUSTER = f"{SERVICES}.cluster.local"
# The name at which a running pod tells which Corefile it has loaded.
MARK = "sandbox.dev/corefile"

# `version.bind`, class CH, type TXT (RFC 4892, RFC 1035), as printf takes it.
_VERSION_BIND = r"\123\102\0\0\0\1\0\0\0\0\0\0\7version\4bind\0\0\20\0\3"
BEHIND, OTHERWISE = 3, 4  # exit codes of scripts/ask-dns.sh

# Directly to the API server on its own node: the Service's address answers only once kube-proxy has set it up, and
# CoreDNS waits longer after each refusal.
API = ("discovery.k8s.io/v1", "EndpointSlice", "kubernetes", "default")
_HOST = {"name": "KUBERNETES_SERVICE_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}

# kubeadm's own (cmd/kubeadm/app/phases/addons/dns/manifests.go), with places for the values below. Without `loop`,
# which queries the nameservers by itself; they are never addresses of the pod itself.
_COREFILE = """.:53 {{
    errors
    health {{
       lameduck 5s
    }}
    ready
    chaos {mark}
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
    reload 4s 2s
    loadbalance
}}
"""


def corefile(
    *,
    domain: str,
    service: str | None,
    nameservers: Sequence[str],
    zones: Mapping[str, Sequence[str]] | None = None,
    hosts: Mapping[str, str] | None = None,
    services: Mapping[str, str] | None = None,
) -> str:
    """Return the configuration in which `domain` and every name below it has the address of `service`, if one is given.

    The name of the Service is looked up at each query, so it may be created later, and recreated. Programs that resolve
    every name under `localhost` to this machine themselves (curl, browsers) do not ask CoreDNS. Names below svc.DOMAIN
    are those of Services (`service_name`), and the hosts of `services` lead to one each. `hosts` are names with their
    addresses, `zones` domains with nameservers of their own; all others are asked of `nameservers`. They are written
    here and not in a resolv.conf, of which a pod keeps the first version. The configuration contains its own digest,
    for a client that asks which one a server uses (RFC 4892).
    """
    rules = [_rewrite(rf"(.+)\.{SERVICES}\.{_pattern(domain)}", f"{{1}}.{CLUSTER}")]
    rules += [_rewrite(_pattern(host), inside(to)) for host, to in sorted((services or {}).items())]
    rules += [_rewrite(rf"(.*\.)?{_pattern(domain)}", service)] if service else []
    forwards = [_forward(zone, asked) for zone, asked in sorted((zones or {}).items())]
    parts = {
        "rule": "".join(rules),
        "hosts": _hosts(hosts) if hosts else "",
        "forwards": "".join((*forwards, _forward(".", nameservers))),
    }
    return _COREFILE.format(mark=_digest(_COREFILE.format(mark="", **parts)), **parts)


def service_name(service: str, domain: str) -> str:
    """Return the name of the Service NAMESPACE/NAME in the sandbox's domain, for pods."""
    return f"{_dotted(service)}.{SERVICES}.{domain}"


def inside(service: str) -> str:
    """Return the name of the Service NAMESPACE/NAME in the cluster's own domain."""
    return f"{_dotted(service)}.{CLUSTER}"


def _dotted(service: str) -> str:
    namespace, _, name = service.partition("/")
    return f"{name}.{namespace}"


def _pattern(name: str) -> str:
    return re.escape(name).replace(r"\-", "-")


def _rewrite(pattern: str, name: str) -> str:
    return f"    rewrite stop name regex ^{pattern}\\.$ {name}. answer auto\n"


def _hosts(hosts: Mapping[str, str]) -> str:
    lines = "".join(f"       {address} {name}\n" for name, address in sorted(hosts.items()))
    return f"    hosts {{\n{lines}       ttl 30\n       fallthrough\n    }}\n"


def _forward(zone: str, nameservers: Sequence[str]) -> str:
    """Return a `forward` that asks the nameservers in their order, as a resolver does; CoreDNS would take any."""
    return (
        f"    forward {zone} {' '.join(nameservers)} {{\n       max_concurrent 1000\n       policy sequential\n    }}\n"
    )


def nameservers(text: str) -> tuple[str, ...]:
    """Return all nameservers that a configuration of `corefile` forwards to, each once."""
    found = re.findall(r"^    forward \S+ ([^{]+) \{$", text, re.MULTILINE)
    return tuple(dict.fromkeys(server for servers in found for server in servers.split()))


def probe_command(address: str, text: str) -> tuple[str, ...]:
    """Return the command that tests on a node whether the CoreDNS pod at `address` is in step with the API server.

    The exit code is BEHIND when it is not, and OTHERWISE when it uses another configuration than `text`.
    """
    script = files.packaged(__package__, "scripts/ask-dns.sh")
    return ("timeout", "10", "bash", "-c", script, "ask", address, _VERSION_BIND, _mark(text))


def _mark(text: str) -> str:
    found = re.search(r"^    chaos (\S+)$", text, re.MULTILINE)
    return found[1] if found else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def config_map(text: str) -> dict[str, Any]:
    """Return the ConfigMap that CoreDNS reads."""
    metadata = {"name": NAME, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": text}}


def deployment(text: str, api: Mapping[str, Any] | None, *, alone: bool = True) -> dict[str, Any]:
    """Return the changes to kubeadm's Deployment, which restart it when `text`, its configuration, has changed.

    `api` is the object of that name, which says where API servers listen; its port differs between providers. kubeadm
    runs two pods and probes them every ten seconds. On a node that is `alone` one pod suffices, and asks the API server
    next to it; among several nodes there is a second one for when a node is lost. Pods should not wait that long in any
    case.
    """
    port = api["ports"][0]["port"] if api else 6443
    env = [_HOST, {"name": "KUBERNETES_SERVICE_PORT", "value": str(port)}, SPARING]
    mark = {MARK: _digest(f"{text}{'' if alone else ' of several'}")}
    container = {"name": NAME, "readinessProbe": {"periodSeconds": 1}} | ({"env": env} if alone else {})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "replicas": 1 if alone else 2,
            "template": {"metadata": {"annotations": mark | SHIM}, "spec": {"containers": [container]}},
        },
    }


@dataclass(frozen=True, kw_only=True)
class DnsStep(NothingToUndo):
    """CoreDNS comes with the cluster; this step configures it for the nodes and waits for it.

    Pods reach the hosts of `domain` at the Service `ingress`, a name inside the cluster, if there is one, those of
    `hosts` at their addresses, those of `services` at a Service (NAMESPACE/NAME) each, and this machine by the names
    `machine`. All others are asked of `upstream`.
    """

    engine: Engine
    nodes: Nodes
    names: Names
    domain: str
    ingress: str | None
    upstream: Upstream
    hosts: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, str] = field(default_factory=dict)
    machine: tuple[str, ...] = (HOST,)
    name: str = "dns"
    requires: tuple[str, ...] = ("cluster",)
    title: str = "DNS of the cluster"

    def check(self) -> Status:
        cluster, text = Cluster(self.names.kubeconfig), self._corefile
        deployment = self._deployment(cluster, text)
        waits_for = pending(cluster, deployment)
        if waits_for:
            return Status(State.DRIFTED, waits_for)
        found = cluster.get("v1", "ConfigMap", NAME, NAMESPACE) or {}
        live = cluster.get("apps/v1", "Deployment", NAME, NAMESPACE) or {}
        if live["spec"].get("replicas") == 0:
            return Status(State.DRIFTED, "CoreDNS is scaled to 0 pods")
        annotations = live["spec"]["template"]["metadata"].get("annotations") or {}
        wanted = deployment["spec"]["template"]["metadata"]["annotations"]
        if found.get("data") != config_map(text)["data"] or annotations.get(MARK) != wanted[MARK]:
            return Status(State.DRIFTED, "another configuration")
        behind = self._behind(cluster, text)
        if behind:
            return Status(State.DRIFTED, behind)
        return self._ready

    def asks(self, node: str) -> Iterable[Question]:
        for pod in Cluster(self.names.kubeconfig).list("v1", "Pod", NAMESPACE, selector=PODS):
            address = (pod.get("status") or {}).get("podIP")
            if address and pod["spec"].get("nodeName") == node:
                yield probe_command(address, self._corefile)

    def apply(self, work: Work) -> Status:
        cluster, text = Cluster(self.names.kubeconfig), self._corefile
        wait_until(partial(self._absence, cluster), what="kubeadm's CoreDNS", timeout=120, pause=0.1)
        cluster.apply(config_map(text))
        deployment = self._deployment(cluster, text)
        cluster.apply(deployment)
        wait_ready(cluster, [deployment], timeout=120)
        if self._behind(cluster, text):
            readiness.refresh_pods(cluster, NAMESPACE, deployment["spec"]["template"]["metadata"]["annotations"][MARK])
            wait_until(lambda: self._behind(cluster, text), what=self.title, timeout=120)
        return self._ready

    @property
    def _ready(self) -> Status:
        asks = f"asks {', '.join(self.upstream.servers)}"
        return Status(State.READY, f"*.{self.domain} inside too, {asks}" if self.ingress else asks)

    def _absence(self, cluster: Cluster) -> str | None:
        """Return why the Deployment cannot be changed yet; kubeadm creates it last."""
        return None if cluster.get("apps/v1", "Deployment", NAME, NAMESPACE) else "not there yet"

    def _behind(self, cluster: Cluster, text: str) -> str | None:
        """Return which pod is not ready or uses outdated data, and which.

        After a stop all answers of the API server may be outdated: the Deployment counts a pod as ready until a
        controller manager leads again, while the kubelet has already reported that the pod has no address any more.
        """
        for pod in cluster.list("v1", "Pod", NAMESPACE, selector=PODS):
            name, status = pod["metadata"]["name"], pod.get("status") or {}
            if is_leaving(pod) or status.get("phase") in ("Failed", "Succeeded"):
                continue
            lacks = progress({**pod, "kind": "Pod"})
            if lacks or not status.get("podIP"):
                return f"{name} is not ready: {lacks or 'no address'}"
            found, _ = self.nodes.query(pod["spec"]["nodeName"], probe_command(status["podIP"], text))
            if found == OTHERWISE:
                return f"{name} has not read its configuration yet"
            if found != 0:
                return f"{name} does not know the cluster's Services yet"
        return None

    def _deployment(self, cluster: Cluster, text: str) -> Mapping[str, Any]:
        return deployment(text, cluster.get(*API), alone=len(self.nodes.every()) == 1)

    @property
    def _corefile(self) -> str:
        address = host_address(self.engine, self.nodes.network, self.names.home)
        return corefile(
            domain=self.domain,
            service=self.ingress,
            nameservers=self.upstream.servers,
            zones=self.upstream.domains,
            hosts={**dict.fromkeys(self.machine, address), **self.hosts},
            services=self.services,
        )
