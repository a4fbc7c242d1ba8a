"""What each provider's clusters can do, in one table, and what a spec therefore cannot ask of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sandbox.errors import UsageError
from sandbox.names import HOST

if TYPE_CHECKING:
    from sandbox.config.schema.spec import Spec

ProviderName = Literal["kind", "minikube", "existing"]
Misfit = tuple[tuple[str | int, ...], str]

_EXISTING_ONLY = dict.fromkeys(
    (("cluster", "context"), ("cluster", "namespace")), "is for an existing cluster: write 'provider: existing'"
)
_KEPT = {
    ("cluster", "kubernetes"): "version",
    ("cluster", "nodes"): "nodes",
    ("cluster", "ip_family"): "IP family",
    ("cluster", "feature_gates"): "feature gates",
    ("network", "nameservers"): "nameservers",
    ("network", "search"): "search domains",
    ("network", "proxy"): "own outbound proxy",
}
_ONE_NAMESPACE = "cluster-wide, and an existing cluster is used in one namespace only"
_NO_CONTAINER = "needs the nodes' addresses, and an existing cluster is reached through its API server only"
_NOT_BY_MINIKUBE = "works with kind only; minikube has its own settings: `minikube config set`, MINIKUBE_*"


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a provider's clusters can do.

    `whole_cluster`: the sandbox creates it and may change nodes and all namespaces, not one only. `containers`: those
    of the engine share a network with its nodes; else registry and edge are processes that go through the API server.
    `node_image`: its nodes are made from the sandbox's node image. `api_on_nodes`: the API server listens on port 6443
    of the control plane. `pausing`: its nodes can be paused. `own_addons`: names of addons are the provider's, and
    `ingress_addons` those of them that serve the class nginx. `host_names`: the names of this machine in
    pods. `refused`: keys of a spec that make no sense for it, with the reason.
    """

    whole_cluster: bool = True
    containers: bool = True
    node_image: bool = False
    api_on_nodes: bool = False
    pausing: bool = False
    own_addons: bool = False
    ingress_addons: tuple[str, ...] = ()
    host_names: tuple[str, ...] = (HOST,)
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)


CAPABILITIES: Mapping[ProviderName, Capabilities] = {
    "kind": Capabilities(
        node_image=True,
        api_on_nodes=True,
        pausing=True,
        refused={**_EXISTING_ONLY, ("cluster", "profile"): "is a minikube profile: write 'provider: minikube'"},
    ),
    "minikube": Capabilities(
        own_addons=True,
        ingress_addons=("ingress", "traefik", "kong", "istio"),
        host_names=(HOST, "host.minikube.internal"),  # minikube's own, which its users rely on
        refused={
            **_EXISTING_ONLY,
            **{("cluster", key): _NOT_BY_MINIKUBE for key in ("nodes", "ip_family", "feature_gates", "mounts", "kind")},
            ("network", "search"): "minikube's nodes keep their own search domains",
            ("network", "ca"): "minikube gives its nodes the files of ~/.minikube/certs: copy it there",
        },
    ),
    "existing": Capabilities(
        whole_cluster=False,
        containers=False,
        refused={
            ("cluster", "profile"): "is for minikube",
            **{path: f"cannot be set: an existing cluster keeps its {what}" for path, what in _KEPT.items()},
            ("cluster", "mounts"): "cannot be mounted: the nodes of an existing cluster are elsewhere",
            ("cluster", "kind"): "is for clusters that kind creates",
            ("registry", "tls"): "nodes of an existing cluster cannot be configured to trust it",
            ("registry", "storage"): "cannot be set: the registry's data stays in the existing cluster",
            ("registry", "mirrors"): "mirrors of an existing cluster are set by its administrators",
            ("ingress", "gateway_api"): f"the Gateway API's kinds are {_ONE_NAMESPACE}",
            ("ingress", "classes"): f"an IngressClass is {_ONE_NAMESPACE}",
            ("edge", "hosts"): _NO_CONTAINER,
            ("edge", "tls"): f"{_NO_CONTAINER}: use `tcp`",
            ("network", "hosts"): f"names for pods are {_ONE_NAMESPACE}",
            ("network", "ca"): "cannot be set: an existing cluster's nodes are not configured",
        },
    ),
}


def misfits(spec: Spec) -> Iterator[Misfit]:
    cluster, ingress, can = spec.cluster, spec.ingress, spec.cluster.supports
    for (part, key), reason in can.refused.items():
        value = getattr(spec, part)
        if getattr(value, key) != getattr(type(value)(), key):
            yield (part, key), reason
    if can.whole_cluster or ingress.controller != "none":  # a new cluster has no other controller
        for key in ("class_name", "address"):
            if getattr(ingress, key) is not None:
                yield ("ingress", key), "is for the controller of an existing cluster: write 'controller: none'"
    for index, use in enumerate(spec.addons):
        if use.addon in can.ingress_addons and ingress.controller != "none":
            yield (
                ("addons", index),
                f"'{use.addon}' serves the same Ingresses: also write 'ingress: {{controller: none}}'",
            )
    if cluster.profile and cluster.kubernetes and ("cluster", "profile") not in can.refused:
        yield ("cluster", "kubernetes"), f"the profile '{cluster.profile}' keeps its Kubernetes version"
    if spec.pause_after and not can.pausing:
        yield ("pause_after",), f"is for clusters of kind, which can be paused, not of {cluster.provider}"
    if can.whole_cluster:
        return
    if cluster.context is None:
        yield ("cluster", "context"), "an existing cluster needs its context: see `kubectl config get-contexts`"
    if spec.certs.issuer != "sandbox":
        yield ("certs", "issuer"), f"cert-manager is {_ONE_NAMESPACE}"
    if spec.edge.run == "container":
        yield ("edge", "run"), "no container can reach an existing cluster: leave it out"
    for part in ("addons", "credentials"):
        if getattr(spec, part):
            yield (part,), f"are {_ONE_NAMESPACE}"


def require_commandable(spec: Spec, addon: str) -> None:
    """Raise UsageError for an addon that only the spec can ask for, since the ingress depends on it."""
    if addon in spec.cluster.supports.ingress_addons and spec.ingress.controller != "none":
        raise UsageError(
            f"the addon '{addon}' takes the node's ports, so it must be in the spec",
            fix=f"in sandbox.yaml: addons: [{addon}] and ingress: {{controller: none}}; then `sandbox up`",
        )
