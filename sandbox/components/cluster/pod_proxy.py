"""The outbound proxy in a cluster: containerd gets it by its unit, pods by an admission policy."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from sandbox.components.cluster.kind.cluster_config import PODS, SERVICES
from sandbox.components.network.proxy_settings import BOTH_CASES, NAMES, Proxies
from sandbox.engine import Engine
from sandbox.engine.container_host import joined
from sandbox.errors import succeeded
from sandbox.kube.api import Cluster, NotFound
from sandbox.names import HOST, Names
from sandbox.provider import Nodes
from sandbox.step import NothingToUndo, State, Status, Work

DROP_IN = "/etc/systemd/system/containerd.service.d/sandbox-proxy.conf"
LABEL = "sandbox.dev/proxy"
POLICY = "sandbox-proxy"
API = "admissionregistration.k8s.io/v1"  # since Kubernetes 1.36 (KEP-3962)
# Prints the proxy that the running containerd was started with, and restarts it with another.
SHOWN = "grep -zi _proxy= /proc/$(systemctl show --property=MainPID --value containerd)/environ | tr '\\0' '\\n'"
RESTART = "systemctl daemon-reload && systemctl restart containerd"


def drop_in(variables: Mapping[str, str]) -> str:
    """Return the file for DROP_IN (systemd.exec(5)): `variables`, and none of the node's earlier proxy variables."""
    lines = ["[Service]"]
    for name, value in variables.items():
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")  # systemd.syntax(7)
        lines.append(f'Environment="{name}={quoted}"')
    others = " ".join(name for name in BOTH_CASES if name not in variables)
    return "\n".join((*lines, f"UnsetEnvironment={others}", ""))


def policy(variables: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the MutatingAdmissionPolicy, with its binding, that adds the variables in both cases to new pods.

    It applies only in namespaces with the label sandbox.dev/proxy=true, and changes nothing that a container sets
    itself.
    """
    both = {**variables, **{name.lower(): value for name, value in variables.items()}}
    kinds = {"containers": "object.spec.containers", "initContainers": "object.spec.?initContainers.orValue([])"}
    fields = ", ".join(f"{kind}: {expression}.map(c, {_container(kind)})" for kind, expression in kinds.items())
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    mutation = {"expression": f"Object{{spec: Object.spec{{{fields}}}}}"}
    spec = {
        "matchConstraints": {"resourceRules": [pods], "namespaceSelector": {"matchLabels": {LABEL: "true"}}},
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "variables": [{"name": "values", "expression": json.dumps(both)}],  # CEL has JSON's literals
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": mutation}],
    }
    kind, common = "MutatingAdmissionPolicy", {"apiVersion": API, "metadata": {"name": POLICY}}
    return {**common, "kind": kind, "spec": spec}, {**common, "kind": f"{kind}Binding", "spec": {"policyName": POLICY}}


def _container(kind: str) -> str:
    missing = "variables.values.map(name, name).filter(name, !c.?env.orValue([]).exists(one, one.name == name))"
    added = f"Object.spec.{kind}.env{{name: name, value: variables.values[name]}}"
    return f"Object.spec.{kind}{{name: c.name, env: {missing}.map(name, {added})}}"


@dataclass(frozen=True, kw_only=True)
class Proxied:
    """The proxy of one sandbox; the variables need the nodes' network, once there is a proxy at all."""

    engine: Engine
    nodes: Nodes
    names: Names
    domain: str
    proxies: Proxies

    def variables(self) -> dict[str, str]:
        """Return the environment of a program that uses it, empty for none. Raises SandboxError without the network."""
        if not self.proxies:
            return {}
        cluster = ("localhost", "127.0.0.1", ".svc", ".cluster.local", PODS, SERVICES)
        subnet, domains = joined(self.engine, self.nodes.network).subnet, (self.domain, f".{self.domain}")
        hosts = (self.nodes.control_plane, self.names.registry, HOST)
        spared = ",".join(dict.fromkeys((*cluster, subnet, *domains, *hosts, *self.proxies.direct)))
        values = zip(NAMES, (self.proxies.http, self.proxies.https, spared), strict=True)
        return {name: value for name, value in values if value}

    def is_in_force(self, node: str) -> bool:
        shown = self.engine.execute(node, ("sh", "-c", SHOWN))
        return self.is_shown(succeeded(shown, f"the proxy of {node} cannot be read"))

    def is_shown(self, shown: str) -> bool:
        """Return whether a node's containerd has these variables, by the output of `SHOWN`."""
        pairs = (line.partition("=") for line in shown.splitlines())
        return {name: value for name, _, value in pairs if name in NAMES} == self.variables()

    def repair(self, node: str, say: Callable[[str], None]) -> None:
        if not self.is_in_force(node):
            say("restarting containerd for another proxy")
            self.enforce(node)

    def enforce(self, node: str) -> None:
        """Restart the node's containerd with this proxy; pods keep running."""
        self.write(node)
        succeeded(self.engine.execute(node, ["sh", "-c", RESTART]), f"the proxy of {node} cannot be set")

    def write(self, node: str) -> None:
        """Write the proxy, which may contain a password, for the next start of the node's containerd."""
        file = PurePosixPath(DROP_IN)
        self.engine.write_files(node, {file: drop_in(self.variables()).encode()}, private=[file])


@dataclass(frozen=True)
class PodProxyStep(NothingToUndo):
    """An admission policy, while there is a proxy; running pods keep what they have.

    Unless `with_account`, pods get the address of the proxy only: others wrote their spec, and a label in it would be
    enough to read the password.
    """

    names: Names
    proxied: Proxied
    with_account: bool = True
    name: str = "pod-proxy"
    requires: tuple[str, ...] = ("cluster",)
    title: str = "Outbound proxy"

    def check(self) -> Status:
        variables, cluster = self._variables(), Cluster(self.names.kubeconfig)
        try:
            policies = {live["metadata"]["name"]: live["spec"] for live in cluster.list(API, "MutatingAdmissionPolicy")}
        except NotFound:
            return Status(State.READY, f"{self.proxied.proxies} for the node; this Kubernetes cannot tell pods")
        live = policies.get(POLICY)
        if not variables:
            return Status(State.DRIFTED, "the proxy of an earlier spec") if live else Status(State.READY, "none")
        expected, _ = policy(variables)
        if (live or {}).get("variables") != expected["spec"]["variables"]:
            return Status(State.DRIFTED, "another proxy" if live else "pods do not have it yet")
        return Status(State.READY, f"{self.proxied.proxies} for the node, and namespaces with {LABEL}=true")

    def apply(self, work: Work) -> None:
        cluster, variables = Cluster(self.names.kubeconfig), self._variables()
        if variables:
            cluster.apply_all(policy(variables))
            return
        for manifest in policy({}):
            cluster.delete(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])

    def _variables(self) -> dict[str, str]:
        proxies = self.proxied.proxies if self.with_account else self.proxied.proxies.without_accounts()
        return replace(self.proxied, proxies=proxies).variables()
