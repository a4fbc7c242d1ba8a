"""The cluster of a sandbox: how it is made, its nameservers, proxy and addons, and the user's charts and manifests."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from sandbox.bundle import machine_node, published
from sandbox.bundle.recipe import versions
from sandbox.bundle.system_images import IN_PODS, OwnImages
from sandbox.components.addons import catalogue
from sandbox.components.addons.addon_charts import AddonCharts
from sandbox.components.addons.addon_manager import AddonManager
from sandbox.components.addons.catalogue import WantedAddon
from sandbox.components.addons.steps import AddonStep, LoadBalancersStep
from sandbox.components.cluster.dns import DnsStep
from sandbox.components.cluster.minikube.minikube_addons import MinikubeAddonsStep, MinikubeDisusedStep
from sandbox.components.cluster.minikube.provider import MinikubeProvider
from sandbox.components.cluster.pod_proxy import PodProxyStep
from sandbox.components.cluster.steps import ClusterStep, ContextStep, JoinStep, NodeImagesStep
from sandbox.components.ingress import unserved
from sandbox.components.workloads import user_manifests
from sandbox.components.workloads.chart_archives import ChartPullStep, is_pulled
from sandbox.components.workloads.charts_step import ChartsStep
from sandbox.components.workloads.helm import Helm
from sandbox.components.workloads.moved_hosts import HostNames
from sandbox.components.workloads.step import ApplyStep
from sandbox.config.schema import Spec
from sandbox.config.schema.apply_schema import AnyChart
from sandbox.plan import certificates_steps, registry_steps
from sandbox.plan.providers import dns, proxied
from sandbox.plan.site import ClusterSite, Site
from sandbox.step import Step


def cluster(site: ClusterSite) -> list[Step]:
    spec, names, engine, nodes = site.spec, site.names, site.engine, site.nodes
    version = site.own.kubernetes if spec.cluster.supports.node_image else spec.cluster.provider
    steps: list[Step] = [
        ClusterStep(site.provider, names, version),
        *_node_images(site),
        ContextStep(names),
        DnsStep(names, dns(spec, names, engine, nodes.network), nodes.control_plane),
        PodProxyStep(
            names,
            proxied(spec, names, engine, nodes, site.environ),
            with_account=not (site.is_fetched and spec.network.proxy == "auto"),
        ),
    ]
    if nodes.network != names.network:  # which the registry and its mirrors join
        steps.append(JoinStep(engine, names, nodes.network))
    return steps


def _node_images(site: ClusterSite) -> list[Step]:
    # Only nodes that were made without the images: minikube's, or those of another release's image.
    own = site.own
    if own.source == "upstream" and not own.published:  # minikube's nodes pull them themselves
        return []
    if site.spec.cluster.supports.node_image:
        node = site.engine.container(site.names.node)
        if node is None or node.image == site.engine.image_id(own.references["node"]):
            return []

    def archive(name: str) -> AbstractContextManager[Path]:
        if own.source == "bundle":
            return nullcontext(site.store.image(own.recipe(name)))
        return machine_node.saved(site.engine, own.references[name])

    return [NodeImagesStep(site.provider, {name: own.references[name] for name in IN_PODS}, archive)]


def brought(site: ClusterSite) -> list[Step]:
    """Return the user's charts and manifests, after all that they may need.

    Raises UsageError, and MissingTool for helm.
    """
    images = registry_steps.image_names(site).with_images(site.spec.push)
    hosts = host_names(site.spec)
    manifests = tuple(map(hosts.written, user_manifests.load(site.spec.apply, site.store)))
    charts = user_manifests.charts(site.spec.apply)
    images.connected(manifests)  # so that an ambiguous image name is reported before anything is made
    unserved.require_hosts(manifests, unserved.routed(site.spec))
    requires = ("wiring", "addons")
    after = ("push", "trust", "credentials", "minikube-addons", "provided", "issuer", "secrets")
    nodes = site.nodes.every
    steps: list[Step] = []
    if has_charts(site):
        steps += pulls(site, charts)
        ready = (*requires, *(step.name for step in steps))
        steps.append(ChartsStep(site.names, charts, images, requires=ready, after=after, nodes=nodes, hosts=hosts))
    brings = ApplyStep(
        site.names,
        manifests,
        images,
        requires=requires,
        after=after,
        nodes=nodes,
        applied=certificates_steps.trust(site).complete,
    )
    return [*steps, brings]


def host_names(spec: Spec) -> HostNames:
    return HostNames(spec.base_domain, spec.domain, spec.rewrite_settings)


def pulls(site: Site, charts: Sequence[AnyChart]) -> list[Step]:
    """Return the step that pulls the charts from elsewhere, if any. Raises MissingTool."""
    if charts:
        Helm.find(site.store)  # so that a missing helm is reported before anything is made
    elsewhere = tuple(filter(is_pulled, charts))
    return [ChartPullStep(elsewhere, site.home)] if elsewhere else []


def has_charts(site: ClusterSite) -> bool:
    """Tell whether the spec names charts, or an earlier one did whose releases are to be uninstalled."""
    return bool(user_manifests.charts(site.spec.apply)) or site.names.charts.exists()


def addons(site: ClusterSite) -> Step:
    return AddonStep(_addon_manager(site), requires=("wiring", *(("push",) if site.spec.push else ())))


def load_balancers(site: ClusterSite) -> LoadBalancersStep:
    return LoadBalancersStep(_addon_manager(site))


def _addon_manager(site: ClusterSite) -> AddonManager:
    spec, names = site.spec, site.names
    charts = AddonCharts(
        names=names,
        engine=site.engine,
        images=registry_steps.image_names(site),
        external=spec.registry.external is not None,
        mirrors=spec.images.mirrors,
        push=partial(registry_steps.push_of, site),
    )
    catalogue.without_minikubes(spec)  # so that an addon that does not exist is reported at once
    return AddonManager(
        names=names,
        engine=site.engine,
        provider=site.provider,
        store=site.store,
        charts=charts,
        pulled=_pulled(spec, site.own),
        uses=_uses(spec, of_minikube=False),
        values={
            "sandbox": spec.name,
            "domain": spec.domain,
            "registry": spec.registry.image_prefix,
            "https_port": str(spec.edge.ports[0]),
        },
        served=spec.ingress.controller != "none",
    )


def _pulled(spec: Spec, own: OwnImages) -> Mapping[str, str]:
    if spec.images.source == "bundle":
        return {}
    addons = {name: published.mirrored(image, spec.images.mirrors) for name, image in versions().addons.items()}
    if own.source == "bundle":  # whose nodes have the images that run in pods already
        return addons
    references = own.published or own.references
    return {**addons, **{name: references[name] for name in IN_PODS}}


def disused_addons(site: ClusterSite) -> list[Step]:
    if not isinstance(site.provider, MinikubeProvider):
        return []
    sources = tuple(use.source for use in _uses(site.spec, of_minikube=True))
    return [MinikubeDisusedStep(site.provider.minikube, site.names, sources)]


def addons_of_minikube(site: ClusterSite) -> list[Step]:
    if not isinstance(site.provider, MinikubeProvider):
        return []
    # minikube keeps a profile's addons in one file: of two commands at once, one undoes what the other wrote. Another
    # ingress controller wants the node's ports, which ours may still have.
    requires = ("wiring", "minikube-disused", "ingress", *(("push",) if site.spec.push else ()))
    return [
        MinikubeAddonsStep(
            minikube=site.provider.minikube,
            names=site.names,
            nodes=site.provider.nodes,
            uses=_uses(site.spec, of_minikube=True),
            requires=requires,
        )
    ]


def _uses(spec: Spec, *, of_minikube: bool) -> tuple[WantedAddon, ...]:
    uses = (WantedAddon(addon.addon, addon.values) for addon in spec.addons)
    return tuple(use for use in uses if catalogue.is_minikubes(spec, use.source) == of_minikube)
