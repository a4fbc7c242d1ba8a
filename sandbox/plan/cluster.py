"""The cluster of a sandbox: how it is made, whom it asks for the outside, and what the spec puts into it."""

from __future__ import annotations

from sandbox.addons import catalogue
from sandbox.addons.choice import Use
from sandbox.bundle.own import OwnImages
from sandbox.bundle.recipe import recipes
from sandbox.cluster import manifests
from sandbox.cluster.kind import Kind, Tags
from sandbox.host import proxies, resolvers
from sandbox.host.proxies import Proxies
from sandbox.host.resolvers import Upstream
from sandbox.names import INGRESS_SERVICE, NETWORK, REGISTRY_PORT
from sandbox.plan.site import Site
from sandbox.spec import Spec
from sandbox.steps.addon import AddonStep
from sandbox.steps.addon_images import AddonImages
from sandbox.steps.apply import ApplyStep
from sandbox.steps.cluster import ClusterStep
from sandbox.steps.context import ContextStep
from sandbox.steps.dns import DnsStep
from sandbox.steps.pod_proxy import PodProxyStep
from sandbox.steps.proxied import Proxied
from sandbox.steps.step import Step


def kind(site: Site) -> Kind:
    """The kind on the PATH, else the bundle's. Raises MissingTool."""
    return Kind.find(NETWORK, extra=site.store.program(recipes()["kind"], "kind").parent)


def cluster(site: Site, kind: Kind) -> list[Step]:
    """The cluster, the user's way to it, and its own to names and hosts outside."""
    spec, names, engine, own = site.spec, site.names, site.engine, site.own
    image, tags, search = own.references["node"], _tags(own), spec.network.search
    upstream, proxied = _upstream(spec), Proxied(engine, names, spec.domain, _proxies(spec))
    ingress = INGRESS_SERVICE if spec.ingress.controller != "none" else None
    return [
        ClusterStep(engine, names, kind, image, own.kubernetes, tags, upstream.servers, search, proxied),
        ContextStep(names),
        DnsStep(engine, names, spec.domain, ingress, upstream, spec.network.hosts),
        PodProxyStep(names, proxied),
    ]


def addons(site: Site, kind: Kind) -> Step:
    """What the spec adds to the cluster, or a command did; their images are the bundle's or in a known registry."""
    spec, names = site.spec, site.names
    registry = (spec.registry.external or f"localhost:{spec.registry.port}").rpartition("://")[2]
    here = (registry, f"{names.registry}:{REGISTRY_PORT}")
    others = (*spec.registry.tls, *(one.rpartition("://")[2] for one in spec.registry.mirrors))
    images = AddonImages(site.engine, names, kind, site.store, spec.registry.external or registry, here, others)
    uses = tuple(Use(one.addon, one.values) for one in spec.addons)
    for use in uses:  # so that what cannot be found is said at once
        catalogue.find(use.source)
    values = {"sandbox": spec.name, "domain": spec.domain, "registry": registry, "https_port": str(spec.proxy.ports[0])}
    return AddonStep(images, uses, values, needs=("wiring", *(("push",) if spec.push else ())))


def objects(site: Site, before: set[str]) -> list[Step]:
    """The user's own objects, after those of the steps `before` that they may rely on."""
    if not site.spec.apply:
        return []
    wanted = ("push", "wiring", "credentials", "addons", "provided", "issuer", "secrets")
    needs = tuple(name for name in wanted if name in before)
    return [ApplyStep(site.names, manifests.load(site.spec.apply), needs=needs)]


def _upstream(spec: Spec) -> Upstream:
    """Whom pods ask for names of the outside."""
    chosen = spec.network.nameservers
    return resolvers.upstream() if chosen == "auto" else Upstream(chosen)


def _proxies(spec: Spec) -> Proxies:
    """The proxy to the outside, if there is one."""
    chosen = spec.network.proxy
    if chosen == "auto":
        return proxies.of_environment()
    return Proxies(chosen.http or "", chosen.https or "", chosen.no_proxy)


def _tags(own: OwnImages) -> Tags | None:
    """The bundle's etcd and CoreDNS are newer than those that kubeadm would ask for."""
    if own.source != "bundle":
        return None
    return Tags(etcd=f"{recipes()['etcd'].version}-0", coredns=recipes()["coredns"].version)
