"""How a cluster's programs learn of the proxy to the outside: containerd by its unit, pods by an admission policy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.components.cluster.kind.command import PODS, SERVICES
from sandbox.components.network.proxy_settings import BOTH_CASES, NAMES

DROP_IN = "/etc/systemd/system/containerd.service.d/sandbox-proxy.conf"
LABEL = "sandbox.dev/proxy"
POLICY = "sandbox-proxy"
API = "admissionregistration.k8s.io/v1"  # since Kubernetes 1.36 (KEP-3962)
# What shows the proxy that the containerd that runs was started with, and what makes it another.
SHOWN = "grep -zi _proxy= /proc/$(systemctl show --property=MainPID --value containerd)/environ | tr '\\0' '\\n'"
RESTART = "systemctl daemon-reload && systemctl restart containerd"


def inside(domain: str, hosts: Iterable[str], subnet: str) -> tuple[str, ...]:
    """What is reached without a proxy, as NO_PROXY has it: the cluster, the sandbox's domain, `hosts` and `subnet`."""
    cluster = ("localhost", "127.0.0.1", ".svc", ".cluster.local", PODS, SERVICES)
    return (*cluster, subnet, domain, f".{domain}", *hosts)


def drop_in(variables: Mapping[str, str]) -> str:
    """The file for DROP_IN (systemd.exec(5)): `variables` and no other proxy, whatever the node was made with."""
    lines = [f"Environment={_quoted(f'{name}={value}')}" for name, value in variables.items()]
    others = " ".join(name for name in BOTH_CASES if name not in variables)
    return "\n".join(("[Service]", *lines, f"UnsetEnvironment={others}", ""))


def read_shown(output: str) -> dict[str, str]:
    """The variables in the output of SHOWN."""
    pairs = (line.partition("=") for line in output.splitlines())
    return {name: value for name, _, value in pairs if name in NAMES}


def policy(variables: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The MutatingAdmissionPolicy, with its binding, that adds the variables in both cases to new pods.

    Only in namespaces with the label sandbox.dev/proxy=true, and nothing that a container sets itself.
    """
    both = {**variables, **{name.lower(): value for name, value in variables.items()}}
    kinds = {"containers": "object.spec.containers", "initContainers": "object.spec.?initContainers.orValue([])"}
    fields = ", ".join(f"{kind}: {found}.map(c, {_container(kind)})" for kind, found in kinds.items())
    made = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    spec = {
        "matchConstraints": {
            "resourceRules": [made],
            "namespaceSelector": {"matchLabels": {LABEL: "true"}},
        },
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "variables": [{"name": "values", "expression": json.dumps(both)}],  # CEL has JSON's literals,
        "mutations": [
            {
                "patchType": "ApplyConfiguration",
                "applyConfiguration": {"expression": f"Object{{spec: Object.spec{{{fields}}}}}"},
            }
        ],
    }
    metadata = {"name": POLICY}
    return (
        {"apiVersion": API, "kind": "MutatingAdmissionPolicy", "metadata": metadata, "spec": spec},
        {
            "apiVersion": API,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": {"policyName": POLICY},
        },
    )


def _container(kind: str) -> str:
    missing = "variables.values.map(name, name).filter(name, !c.?env.orValue([]).exists(one, one.name == name))"
    added = f"Object.spec.{kind}.env{{name: name, value: variables.values[name]}}"
    return f"Object.spec.{kind}{{name: c.name, env: {missing}.map(name, {added})}}"


def _quoted(text: str) -> str:
    """One word of a unit file (systemd.syntax(7)), in which a percent sign is doubled."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'
