"""The cluster of a sandbox: how it is made, its nameservers and proxy, and the user manifests applied to it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from sandbox.bundle import machine_node
from sandbox.bundle.system_images import IN_PODS
from sandbox.components.cluster.dns import DnsStep
from sandbox.components.cluster.kube_proxy import KubeProxyStep
from sandbox.components.cluster.pod_proxy import PodProxyStep
from sandbox.components.cluster.steps import ClusterStep, ContextStep, JoinStep, NodeImagesStep
from sandbox.components.ingress import unserved
from sandbox.components.ingress.served_hosts import GATEWAY_GROUP
from sandbox.components.workloads import gone_kinds, user_manifests
from sandbox.components.workloads.chart_archives import ChartArchives, ChartPullStep, is_pulled
from sandbox.components.workloads.charts_step import ChartsStep
from sandbox.components.workloads.helm import Helm, require_files
from sandbox.components.workloads.moved_hosts import HostNames
from sandbox.components.workloads.step import ApplyStep
from sandbox.config.schema import Spec
from sandbox.config.schema.apply_schema import AnyChart
from sandbox.kube.manifests import defined
from sandbox.plan import addons_steps, certificates_steps, registry_steps
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
        *([KubeProxyStep(names, nodes)] if spec.cluster.kind and spec.cluster.kind.configures_kube_proxy else []),
        DnsStep(names, dns(spec, names, engine, nodes.network)),
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
    """Load the system images into nodes that were made without them: minikube's, or those of another release's image.

    Where images are pulled, minikube's nodes do so themselves.
    """
    own = site.own
    if own.source == "upstream" and not own.published:
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
    gone_kinds.require(manifests, site.spec.cluster.kubernetes)
    requires = ("wiring", "addons")
    after = ("kube-proxy", "push", "trust", "credentials", "minikube-addons", "provided", "issuer", "secrets")
    nodes = site.nodes.every
    steps: list[Step] = []
    if has_charts(site):
        archives, pulls = pulled(site, charts)
        steps += pulls
        ready = (*requires, *(step.name for step in steps))
        installed = (site.names, charts, archives, images, site.store)
        prepare = addons_steps.load_balancers(site).prepare
        steps.append(ChartsStep(*installed, requires=ready, after=after, nodes=nodes, prepare=prepare, hosts=hosts))
    unbrought: dict[str, str] = {}
    defines = any(group == GATEWAY_GROUP for group, _ in filter(None, map(defined, manifests)))
    if not (charts or site.spec.addons or site.spec.ingress.gateway_api or defines):
        unbrought[GATEWAY_GROUP] = "in sandbox.yaml: `ingress: {gateway_api: true}`"
    brings = ApplyStep(
        site.names,
        manifests,
        images,
        requires=requires,
        after=after,
        nodes=nodes,
        unbrought=unbrought,
        applied=certificates_steps.trust(site).complete,
    )
    return [*steps, brings]


def host_names(spec: Spec) -> HostNames:
    return HostNames(spec.base_domain, spec.domain, spec.rewrite_settings)


def pulled(site: Site, charts: Sequence[AnyChart]) -> tuple[ChartArchives, list[Step]]:
    """Return the archives of charts, and the step that pulls those from elsewhere, if any.

    Raises BadFile, and MissingTool for helm.
    """
    archives = ChartArchives(site.home.charts)
    for chart in charts:
        require_files(chart)
    if charts:
        Helm.find(site.store)  # so that a missing helm is reported before anything is made
    elsewhere = tuple(filter(is_pulled, charts))
    return archives, [ChartPullStep(elsewhere, archives, site.store)] if elsewhere else []


def has_charts(site: ClusterSite) -> bool:
    """Tell whether the spec names charts, or an earlier one did whose releases are to be uninstalled."""
    return bool(user_manifests.charts(site.spec.apply)) or site.names.charts.exists()
