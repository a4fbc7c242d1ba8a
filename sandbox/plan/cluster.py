"""The cluster of a sandbox: how it is made, whom it asks for the outside, and what the spec puts into it."""

from __future__ import annotations

from sandbox.addons import catalogue
from sandbox.addons.choice import Use
from sandbox.bundle.own import IN_PODS
from sandbox.bundle.recipe import recipes
from sandbox.cluster import manifests
from sandbox.names import HOST, INGRESS_SERVICE, NETWORK, REGISTRY_PORT
from sandbox.plan.provider import proxied, upstream
from sandbox.plan.site import Site
from sandbox.providers.minikube import MinikubeProvider
from sandbox.spec import Spec
from sandbox.steps.addon import AddonStep
from sandbox.steps.addon_images import AddonImages
from sandbox.steps.apply import ApplyStep
from sandbox.steps.cluster import ClusterStep
from sandbox.steps.context import ContextStep
from sandbox.steps.dns import DnsStep
from sandbox.steps.join import JoinStep
from sandbox.steps.node_images import NodeImagesStep
from sandbox.steps.pod_proxy import PodProxyStep
from sandbox.steps.step import Step

# minikube's own name for this machine, which its users rely on.
MINIKUBE_HOST = "host.minikube.internal"


def cluster(site: Site) -> list[Step]:
    """The cluster, the user's way to it, and its own to names and hosts outside."""
    spec, names, engine, nodes = site.spec, site.names, site.engine, site.nodes
    ingress = INGRESS_SERVICE if spec.ingress.controller != "none" else None
    of_kind = spec.cluster.provider == "kind"
    version, machine = site.own.kubernetes if of_kind else "minikube", (HOST,) if of_kind else (HOST, MINIKUBE_HOST)
    return [
        ClusterStep(site.provider, names, version),
        *node_images(site),
        ContextStep(names),
        DnsStep(engine, nodes, names, spec.domain, ingress, upstream(spec), spec.network.hosts, machine),
        PodProxyStep(names, proxied(spec, names, engine, nodes)),
    ]


def join(site: Site, before: set[str]) -> list[Step]:
    """The way to a cluster on a network of its own, for those of the steps `before` that have containers."""
    if site.nodes.network == NETWORK:
        return []
    needs = tuple(name for name in ("cluster", "registry", "mirrors", "edge") if name in before)
    return [JoinStep(site.engine, site.names, site.nodes.network, needs)]


def node_images(site: Site) -> list[Step]:
    """The bundle's images for nodes that are not made of ours, which have them."""
    if site.own.source != "bundle" or site.spec.cluster.provider == "kind":
        return []
    return [NodeImagesStep(site.provider, site.store, tuple(recipes()[name] for name in IN_PODS))]


def addons(site: Site) -> Step:
    """What the spec adds to the cluster, or a command did; their images are the bundle's or in a known registry."""
    spec, names = site.spec, site.names
    registry = (spec.registry.external or f"localhost:{spec.registry.port}").rpartition("://")[2]
    here = (registry, f"{names.registry}:{REGISTRY_PORT}")
    others = (*spec.registry.tls, *(one.rpartition("://")[2] for one in spec.registry.mirrors))
    images = AddonImages(
        site.engine, names, site.provider, site.store, spec.registry.external or registry, here, others
    )
    uses = tuple(use for use in _uses(spec) if not _is_minikubes(spec, use))
    for use in uses:  # so that what cannot be found is said at once
        catalogue.find(use.source)
    values = {"sandbox": spec.name, "domain": spec.domain, "registry": registry, "https_port": str(spec.proxy.ports[0])}
    return AddonStep(images, uses, values, needs=("wiring", *(("push",) if spec.push else ())))


def minikube_addons(site: Site) -> list[Step]:
    """minikube's own addons that the spec names, on a cluster of minikube's."""
    spec, provider = site.spec, site.provider
    if not isinstance(provider, MinikubeProvider):
        return []
    from sandbox.steps.minikube_addons import MinikubeAddonsStep  # and the credentials that it may carry

    uses = tuple(use for use in _uses(spec) if _is_minikubes(spec, use))
    needs = ("wiring", *(("push",) if spec.push else ()))
    return [MinikubeAddonsStep(provider.minikube, site.names, uses, spec.credentials, needs=needs)]


def _uses(spec: Spec) -> tuple[Use, ...]:
    return tuple(Use(one.addon, one.values) for one in spec.addons)


def _is_minikubes(spec: Spec, use: Use) -> bool:
    """On minikube a name is one of its addons; a folder is the user's own anywhere."""
    return spec.cluster.provider == "minikube" and "/" not in use.source


def objects(site: Site, before: set[str]) -> Step:
    """The user's own objects, after those of the steps `before` that they may rely on."""
    wanted = ("push", "wiring", "credentials", "addons", "minikube-addons", "provided", "issuer", "secrets")
    needs = tuple(name for name in wanted if name in before)
    return ApplyStep(site.names, manifests.load(site.spec.apply), needs=needs)
