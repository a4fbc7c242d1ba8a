"""What each provider's clusters can do, in one table, and what a spec therefore cannot ask of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from sandbox.errors import UsageError
from sandbox.names import HOST

if TYPE_CHECKING:
    from sandbox.config.schema.spec import Spec

ProviderName = Literal["kind", "minikube", "existing"]
Misfit = tuple[tuple[str | int, ...], str]

_EXISTING_ONLY = ("cluster.context", "cluster.namespace")
_KIND_ONLY = ("cluster.nodes", "cluster.ip_family", "cluster.feature_gates", "cluster.mounts", "cluster.kind")
_FIXES: Mapping[tuple[ProviderName, str], str] = {
    ("kind", "cluster.profile"): "write 'provider: minikube'",
    **{("minikube", path): "use `minikube config set`, or MINIKUBE_*" for path in _KIND_ONLY},
    ("minikube", "network.ca"): "copy it to ~/.minikube/certs",
    ("existing", "edge.tls"): "use `tcp`",
}


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a provider's clusters can do.

    `whole_cluster`: the sandbox creates it and may change nodes and all namespaces, not one only. `containers`: those
    of the engine share a network with its nodes; else registry and edge are processes that go through the API server.
    `node_image`: its nodes are made from the sandbox's node image. `own_addons`: names of addons are the provider's,
    and `ingress_addons` those of them that serve the class nginx. `host_names`: the names of this machine in pods.
    `refused`: keys of a spec that make no sense for it.
    """

    whole_cluster: bool = True
    containers: bool = True
    node_image: bool = False
    own_addons: bool = False
    ingress_addons: tuple[str, ...] = ()
    host_names: tuple[str, ...] = (HOST,)
    refused: tuple[str, ...] = ()


CAPABILITIES: Mapping[ProviderName, Capabilities] = {
    "kind": Capabilities(
        node_image=True,
        refused=(*_EXISTING_ONLY, "cluster.profile"),
    ),
    "minikube": Capabilities(
        own_addons=True,
        ingress_addons=("ingress", "traefik", "kong", "istio"),
        host_names=(HOST, "host.minikube.internal"),  # minikube's own, which its users rely on
        refused=(*_EXISTING_ONLY, *_KIND_ONLY, "network.search", "network.ca", "pause_after"),
    ),
    "existing": Capabilities(
        whole_cluster=False,
        containers=False,
        refused=(
            *_KIND_ONLY,
            *("cluster.profile", "cluster.kubernetes"),
            *("registry.tls", "registry.storage", "registry.mirrors"),
            *("network.nameservers", "network.search", "network.proxy", "network.hosts", "network.ca"),
            *("ingress.gateway_api", "ingress.classes", "edge.hosts", "edge.tls", "certs.issuer"),
            *("addons", "credentials", "pause_after"),
        ),
    ),
}


def misfits(spec: Spec) -> Iterator[Misfit]:
    cluster, ingress, can, default = spec.cluster, spec.ingress, spec.cluster.supports, type(spec)()
    for path in can.refused:
        if attrgetter(path)(spec) != attrgetter(path)(default):
            fix = _FIXES.get((cluster.provider, path), "leave it out, or choose another provider")
            yield tuple(path.split(".")), f"is not supported with 'provider: {cluster.provider}': {fix}"
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
    if cluster.profile and cluster.kubernetes and "cluster.profile" not in can.refused:
        yield ("cluster", "kubernetes"), f"the profile '{cluster.profile}' keeps its Kubernetes version"
    if not can.whole_cluster and cluster.context is None:
        yield ("cluster", "context"), "an existing cluster needs its context: see `kubectl config get-contexts`"
    if not can.containers and spec.edge.run == "container":
        yield ("edge", "run"), "no container can reach an existing cluster: leave it out"


def require_commandable(spec: Spec, addon: str) -> None:
    """Raise UsageError for an addon that only the spec can ask for, since the ingress depends on it."""
    if addon in spec.cluster.supports.ingress_addons and spec.ingress.controller != "none":
        raise UsageError(
            f"the addon '{addon}' takes the node's ports, so it must be in the spec",
            fix=f"in sandbox.yaml: addons: [{addon}] and ingress: {{controller: none}}; then `sandbox up`",
        )
