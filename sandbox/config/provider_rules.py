"""What a sandbox.yaml may not ask of a cluster that is somebody else's, and what only such a cluster understands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sandbox.errors import UsageError

if TYPE_CHECKING:
    from sandbox.config.schema.spec import Spec

Misfit = tuple[tuple[str | int, ...], str]

# What changes nodes, or the cluster as a whole, and what stands in for it.
REFUSED: tuple[tuple[tuple[str, str], str], ...] = (
    (("cluster", "profile"), "is for minikube"),
    (("cluster", "kubernetes"), "an existing cluster has the version that it has"),
    (("cluster", "nodes"), "an existing cluster has the nodes that it has"),
    (("cluster", "ip_family"), "an existing cluster has the addresses that it has"),
    (("cluster", "feature_gates"), "an existing cluster has the features that it has"),
    (("cluster", "mounts"), "nodes of an existing cluster are not this machine's"),
    (("cluster", "kind"), "an existing cluster is not kind's to make"),
    (("registry", "tls"), "nodes of an existing cluster cannot be told to trust it"),
    (("registry", "storage"), "the registry of an existing cluster keeps its data there"),
    (("registry", "mirrors"), "nodes of an existing cluster cannot be told of mirrors: that is for whoever runs it"),
    (("ingress", "gateway_api"), "the kinds of the Gateway API are for the whole cluster, which is not ours"),
    (("proxy", "hosts"), "only the proxy of a cluster of our own has such hosts"),
    (("network", "nameservers"), "an existing cluster has the nameservers that it has"),
    (("network", "search"), "an existing cluster has the search domains that it has"),
    (("network", "hosts"), "names for pods are for the whole cluster, which is not ours"),
    (("network", "proxy"), "an existing cluster has its own way out"),
)

# What minikube has a way of its own for, or none.
OF_KIND = "is for kind; minikube's own settings (`minikube config set`, MINIKUBE_*) count for its clusters"
NOT_BY_MINIKUBE: tuple[tuple[tuple[str, str], str], ...] = (
    *((("cluster", key), OF_KIND) for key in ("nodes", "ip_family", "feature_gates", "mounts", "kind")),
    (("network", "search"), "nodes of minikube's keep their own search domains"),
)
INGRESS_ADDONS = ("ingress", "traefik", "kong", "istio")


def misfits(spec: Spec) -> Iterator[Misfit]:
    """What does not go with the cluster's provider: the path of each value that is to change, and why."""
    if spec.cluster.is_ours:
        for key in ("context", "namespace"):
            if getattr(spec.cluster, key) is not None:
                yield ("cluster", key), "is for a cluster that exists: write 'provider: existing'"
        yield from _ingress_of_others(spec)
        yield from _minikube(spec)
        return
    if spec.cluster.context is None:
        yield ("cluster", "context"), "an existing cluster needs its context: see `kubectl config get-contexts`"
    yield from _said(spec, REFUSED)
    if spec.ingress.controller != "none":
        yield from _ingress_of_others(spec)
    if spec.ingress.controller == "nginx":
        yield ("ingress", "controller"), "'nginx' wants rights in the whole cluster, 'traefik' in one namespace"
    if spec.certs.issuer != "sandbox":
        yield ("certs", "issuer"), "cert-manager is for the whole cluster, which is not ours"
    if spec.certs.default is not None:
        yield ("certs", "default"), "is not to be had on an existing cluster yet"
    if spec.proxy.run == "container":
        yield ("proxy", "run"), "no container can reach an existing cluster: leave it out"
    for part in ("addons", "credentials"):
        if getattr(spec, part):
            yield (part,), "are for the whole cluster, which is not ours"


def require_commandable(spec: Spec, addon: str) -> None:
    """Raises UsageError for an addon of minikube's that only the spec can ask for, since the ingress depends on it."""
    ours = spec.ingress.controller != "none" or addon == INGRESS_ADDONS[0]
    if spec.cluster.provider == "minikube" and addon in INGRESS_ADDONS and ours:
        raise UsageError(
            f"the addon '{addon}' decides who answers on the node's ports, so the spec has to ask for it",
            fix=f"in sandbox.yaml: addons: [{addon}] and ingress: {{controller: none}}; then `sandbox up`",
        )


def _minikube(spec: Spec) -> Iterator[Misfit]:
    cluster = spec.cluster
    if cluster.provider != "minikube":
        if cluster.profile:
            yield ("cluster", "profile"), "is a profile of minikube's: write 'provider: minikube'"
        return
    if cluster.profile and cluster.kubernetes:
        yield ("cluster", "kubernetes"), f"the profile '{cluster.profile}' has the version that it has"
    if spec.ingress.controller != "none":
        for index, one in enumerate(spec.addons):
            if one.addon in INGRESS_ADDONS:
                wrong = (
                    f"'{one.addon}' wants the node's ports 80 and 443: write 'ingress: {{controller: none}}' with it"
                )
                yield ("addons", index), wrong
    yield from _said(spec, NOT_BY_MINIKUBE)


def _said(spec: Spec, refused: tuple[tuple[tuple[str, str], str], ...]) -> Iterator[Misfit]:
    """Those of `refused` that the spec says anything of."""
    for (part, key), reason in refused:
        value = getattr(spec, part)
        if getattr(value, key) != type(value).model_fields[key].get_default():
            yield (part, key), reason


def _ingress_of_others(spec: Spec) -> Iterator[Misfit]:
    """What tells of a controller that is there already, where there is none such."""
    for key in ("class_name", "address"):
        if getattr(spec.ingress, key) is not None:
            yield ("ingress", key), "is for the controller of a cluster that exists: write 'controller: none'"
