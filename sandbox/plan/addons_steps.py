"""What the spec adds to the cluster besides the user's own manifests: the sandbox's addons, and minikube's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sandbox.bundle import published
from sandbox.bundle.recipe import versions
from sandbox.bundle.system_images import IN_PODS, OwnImages
from sandbox.components.addons import catalogue
from sandbox.components.addons.addon_charts import AddonCharts
from sandbox.components.addons.addon_images import AddonImages
from sandbox.components.addons.addon_manager import AddonManager, AddonStep
from sandbox.components.addons.catalogue import WantedAddon
from sandbox.components.addons.load_balancers import LoadBalancersStep
from sandbox.components.cluster.minikube.minikube_addons import MinikubeAddonsStep, MinikubeDisusedStep
from sandbox.components.cluster.minikube.provider import MinikubeProvider
from sandbox.config.schema import Spec
from sandbox.plan import registry_steps
from sandbox.plan.site import ClusterSite
from sandbox.step import Step


def addons(site: ClusterSite) -> Step:
    return AddonStep(_manager(site), requires=("wiring", *(("push",) if site.spec.push else ())))


def load_balancers(site: ClusterSite) -> LoadBalancersStep:
    return LoadBalancersStep(_manager(site))


def _manager(site: ClusterSite) -> AddonManager:
    spec, names = site.spec, site.names
    registry = spec.registry.image_prefix
    images = AddonImages(
        engine=site.engine,
        sandbox=names,
        provider=site.provider,
        store=site.store,
        registry=spec.registry.address,
        names=(registry, names.registry_endpoint),
        others=(*spec.registry.tls, *spec.registry.upstreams),
        pulled=_pulled(spec, site.own),
    )
    charts = AddonCharts(
        names=names,
        engine=site.engine,
        store=site.store,
        images=registry_steps.image_names(site),
        external=spec.registry.external is not None,
        mirrors=spec.images.mirrors,
        push=partial(registry_steps.push_of, site),
    )
    catalogue.without_minikubes(spec)  # so that an addon that does not exist is reported at once
    return AddonManager(
        images=images,
        charts=charts,
        uses=_uses(spec, of_minikube=False),
        values={
            "sandbox": spec.name,
            "domain": spec.domain,
            "registry": registry,
            "https_port": str(spec.edge.ports[0]),
        },
        served=spec.ingress.controller != "none",
    )


def _pulled(spec: Spec, own: OwnImages) -> Mapping[str, str]:
    """Return the published images of components, by digest; none where the user wants only the bundle's."""
    if spec.images.source == "bundle":
        return {}
    addons = {name: published.mirrored(image, spec.images.mirrors) for name, image in versions().addons.items()}
    if own.source == "bundle":  # whose nodes have the images that run in pods already
        return addons
    references = own.published or own.references
    return {**addons, **{name: references[name] for name in IN_PODS}}


def disused(site: ClusterSite) -> list[Step]:
    """Return the step that disables minikube's own addons that the spec no longer names."""
    if not isinstance(site.provider, MinikubeProvider):
        return []
    sources = tuple(use.source for use in _uses(site.spec, of_minikube=True))
    return [MinikubeDisusedStep(site.provider.minikube, site.names, sources)]


def of_minikube(site: ClusterSite) -> list[Step]:
    """Return the step for minikube's own addons that the spec names, on a minikube cluster."""
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
