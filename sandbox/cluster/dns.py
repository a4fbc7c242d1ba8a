"""CoreDNS as a sandbox wants it: one pod, and the sandbox's own hosts answered with the ingress inside the cluster."""

from __future__ import annotations

import hashlib
import re
from typing import Any

NAMESPACE = "kube-system"
NAME = "coredns"
# What of the Corefile the running pod has read.
MARK = "sandbox.dev/corefile"

# kubeadm's own (cmd/kubeadm/app/phases/addons/dns/manifests.go), with a place for the rule below.
_COREFILE = """.:53 {{
    errors
    health {{
       lameduck 5s
    }}
    ready
{rule}    kubernetes cluster.local in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }}
    prometheus :9153
    forward . /etc/resolv.conf {{
       max_concurrent 1000
    }}
    cache 30 {{
       disable success cluster.local
       disable denial cluster.local
    }}
    loop
    reload
    loadbalance
}}
"""


def corefile(*, domain: str, service: str | None) -> str:
    """The configuration in which `domain` and every name below it has the address of `service`, if one is given.

    The name of the Service is looked up at each question, so it may be made later, and made anew. Programs that take
    every name under `localhost` for this machine without asking (curl, browsers) are not reached by this.
    """
    pattern = re.escape(domain).replace(r"\-", "-")
    rule = rf"    rewrite stop name regex ^(.*\.)?{pattern}\.$ {service}. answer auto"
    return _COREFILE.format(rule=f"{rule}\n" if service else "")


def config_map(text: str) -> dict[str, Any]:
    """The ConfigMap that CoreDNS reads."""
    metadata = {"name": NAME, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": text}}


def deployment(text: str) -> dict[str, Any]:
    """What changes in kubeadm's Deployment: one pod, restarted when `text`, its configuration, has changed.

    kubeadm runs two and looks at them every ten seconds; on one node one will do, and pods should not wait so long.
    """
    mark = {MARK: hashlib.sha256(text.encode()).hexdigest()[:16]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "template": {
                "metadata": {"annotations": mark},
                "spec": {"containers": [{"name": NAME, "readinessProbe": {"periodSeconds": 1}}]},
            },
        },
    }
