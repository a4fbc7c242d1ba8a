"""The plan for a cluster that exists already: everything in one namespace, through its API server alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.bundle import system_images
from sandbox.bundle.recipe import recipes
from sandbox.bundle.system_images import IN_PODS, OwnImages
from sandbox.components import content_hash
from sandbox.components.certificates import tls_secrets
from sandbox.components.certificates.authority_step import AuthorityStep
from sandbox.components.certificates.tls_secrets import TlsSecret
from sandbox.components.certificates.user_certificate import Provided
from sandbox.components.cluster.existing.steps import ObjectsStep, TenancyStep
from sandbox.components.cluster.existing.tenant import SandboxNamespace, placed, user_at_host
from sandbox.components.cluster.steps import ContextStep
from sandbox.components.edge.route import INGRESS, REGISTRY, Forward, RegistryRoute
from sandbox.components.edge.step import ForwardedEdgeStep, ForwardedPortsStep
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.components.ingress.page import Page, PageStep
from sandbox.components.ingress.traefik import CLASS, DEFAULT, DOMAIN, SERVICE, TenantTraefik, tenant_page
from sandbox.components.registry.external_step import TeamRegistryStep
from sandbox.components.registry.in_cluster_step import (
    NAME,
    PULL_SECRET,
    WRITE_PORT,
    InnerCanaryStep,
    InnerRegistryStep,
    OwnPushStep,
    name_on_nodes,
)
from sandbox.components.workloads import user_manifests
from sandbox.components.workloads.image_names import ImageNames
from sandbox.components.workloads.rendered_charts import RenderedCharts
from sandbox.components.workloads.step import ApplyStep, OneNamespace
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Engine
from sandbox.images.images_yaml import FromArchive, FromBuild, FromDaemon
from sandbox.images.push_step import PushStep
from sandbox.kube.api import Manifest
from sandbox.names import Home
from sandbox.oci.credential import Keychain
from sandbox.oci.reference import Target
from sandbox.plan import certificates_steps, cluster_steps, edge_steps, registry_steps
from sandbox.plan.saved_spec import RememberedStep
from sandbox.plan.site import Site
from sandbox.quantities import count
from sandbox.step import Step, checked


def build(
    spec: ResolvedSpec,
    home: Home,
    engine: Engine,
    own: OwnImages,
    *,
    environ: Mapping[str, str],
    purge: bool,
    keychain: Keychain | None,
) -> tuple[Step, ...]:
    """Return the steps of a sandbox in an existing cluster.

    As `plan.build`; the engine is needed for images only. In CI, whose containers have other host names each time,
    SANDBOX_OWNER says who the owner is.
    """
    names = home.sandbox(spec.name)
    site = TenantSite(spec=spec, names=names, engine=engine, own=own, keychain=keychain, purge=purge)
    steps: list[Step] = [
        RememberedStep(names, spec),
        AuthorityStep(
            names=site.names,
            keystore=site.keystore,
            domains=spec.vouched,
            leaves={secret.leaf: secret.hosts for secret in site.secrets},
            purge=purge,
            unvouched=(),
        ),
        TenancyStep(
            names=site.names,
            paths=(home.kubeconfig, *home.other_kubeconfigs),
            context=site.context,
            namespace=site.place.namespace,
            owner=environ.get("SANDBOX_OWNER") or user_at_host(),
        ),
        ContextStep(site.names),
        *_images(site),
        *_registry(site),
        *_edge(site),
        *([] if spec.registry.external else [InnerCanaryStep(site.place, spec.registry.push_url)]),
        *_own_images(site),
        *_push(site),
        _secrets(site),
        *_ingress(site),
        *_objects(site),
        *_proof(site),
        *_ports(site),
    ]
    return checked(steps)


class TenantSite(Site):
    """A sandbox in one namespace of a cluster that exists already; the engine is needed for images only."""

    @property
    def context(self) -> str:
        return str(self.spec.cluster.context)

    @property
    def place(self) -> SandboxNamespace:
        return SandboxNamespace(self.names, str(self.spec.namespace))

    @property
    def secrets(self) -> tuple[TlsSecret, ...]:
        """Return the TLS Secrets, all in the sandbox's namespace, whatever namespace the spec names for theirs."""
        return certificates_steps.issued(self.spec, default=DEFAULT, domain=DOMAIN)

    def tls_secrets(self) -> list[Manifest]:
        """Return the TLS Secrets with the present certificates, which the step `certificates` keeps."""
        pairs = [(secret.secret, self.keystore.leaf_files(secret.leaf).read()) for secret in self.secrets]
        if self.provided:
            pairs.append((DEFAULT, self.provided.leaf()))
        return [tls_secrets.tls_secret(self.place.namespace, name, pair) for name, pair in pairs]

    @property
    def provided(self) -> Provided | None:
        return certificates_steps.provided(self.spec)

    @property
    def brings(self) -> bool:
        return self.own.source == "bundle" and self.has_controller

    @property
    def has_controller(self) -> bool:
        return self.spec.ingress.controller != "none"

    @property
    def pushing(self) -> tuple[str, ...]:
        return ("registry",) if self.spec.registry.external else ("registry", "edge")

    def image(self, component: str) -> str:
        if not self.brings:
            return self.own.references[component]
        return f"{self.spec.registry.local_names[0]}/{self.target(component)}"

    @staticmethod
    def target(component: str) -> Target:
        _, _, tag = recipes()[component].reference.rpartition(":")
        return Target(f"sandbox/{component}", tag)

    def forward(self, name: str, target: str, port: int) -> Forward:
        return Forward(name, target, str(port), self.place.namespace, str(self.names.kubeconfig))

    def images(self) -> Mapping[str, str]:
        """Return the prefix of the sandbox registry's images in user manifests, and their prefix in this cluster."""
        return dict.fromkeys((*self.spec.registry.local_names, self.names.registry_endpoint), self.registry_in_pods())

    def registry_in_pods(self) -> str:
        """Return what pods of this cluster call the registry. Raises SandboxError while there is none."""
        registry = self.spec.registry
        return registry.image_prefix if registry.external else name_on_nodes(self.place)

    def objects(self, wanted: Sequence[Manifest]) -> list[dict[str, Any]]:
        versions = {manifest["apiVersion"] for manifest in wanted}
        known = {version: self.place.cluster.resources(version) for version in versions}
        return placed(
            wanted,
            namespaced={(version, kind.kind): kind.namespaced for version, kinds in known.items() for kind in kinds},
            images=self.images(),
            pull_secret=None if self.spec.registry.external else PULL_SECRET,
            ingress_class=CLASS if self.has_controller else self.spec.ingress.class_name,
        )


def _images(site: TenantSite) -> list[Step]:
    entries = registry_steps.readable(site.spec.push).entries if site.spec.push else ()
    needed = _edge(site) or any(isinstance(entry, FromDaemon | FromBuild) for entry in entries)
    return [registry_steps.images(site)] if needed else []


def _registry(site: TenantSite) -> list[Step]:
    external = site.spec.registry.external
    if external:
        return [TeamRegistryStep(external, site.keychain)]
    return [InnerRegistryStep(site.place, site.own.references["registry"])]


def _edge(site: TenantSite) -> list[Step]:
    spec, address, external = site.spec, site.spec.ingress.address, site.spec.registry.external
    binds = site.binds if spec.takes_https_ports else ()
    if not binds and external and not edge_steps.ports(spec):
        return []
    forwards = edge_steps.forwards(site.names, spec, site.place.namespace)
    ingress = () if address else (site.forward(INGRESS, f"service/{SERVICE}", 443),)
    registry = None
    if not external:
        forward = site.forward(REGISTRY, f"deployment/{NAME}", WRITE_PORT)
        registry = RegistryRoute(site.names.name, spec.registry.port, forward=forward)
    return [
        ForwardedEdgeStep(
            engine=site.engine,
            names=site.names,
            image=site.own.references["haproxy"],
            route=edge_steps.forwarded(spec, binds, (*ingress, *forwards), upstream=address or ""),
            kubectl=edge_steps.kubectl(site.store),
            registry=registry,
        )
    ]


def _ports(site: TenantSite) -> list[Step]:
    ports = edge_steps.ports(site.spec)
    return [ForwardedPortsStep(site.names, site.place.namespace, ports)] if ports else []


def _own_images(site: TenantSite) -> list[Step]:
    if not site.brings:
        return []
    # Not the registry's own image, which cannot be pushed to itself.
    entries = tuple(
        FromArchive(site.target(component), site.store.image(recipes()[component])) for component in IN_PODS
    )
    return [OwnPushStep(entries, site.spec.registry.push_url, site.keychain, requires=site.pushing)]


def _push(site: TenantSite) -> list[Step]:
    spec = site.spec
    if not spec.push:
        return []
    return [
        PushStep(
            site.engine,
            registry_steps.readable(spec.push),
            spec.registry.push_url,
            site.keychain,
            site.home.spool,
            buildx=system_images.buildx(site.store),
            requires=(*site.pushing, *(step.name for step in _images(site))),
        ),
    ]


def _secrets(site: TenantSite) -> Step:
    names = [*(secret.secret for secret in site.secrets), *([DEFAULT] if site.provided else [])]
    requires = ("cluster", "certificates")
    return ObjectsStep(
        site.place, "secrets", count(len(names), "TLS Secret"), ", ".join(names), site.tls_secrets, requires=requires
    )


def _ingress(site: TenantSite) -> list[Step]:
    if not site.has_controller:
        return []
    namespace, page = site.place.namespace, _page(site)
    traefik = TenantTraefik(image=site.image("traefik"), busybox=site.image("busybox"), namespace=namespace)

    def make() -> Sequence[Manifest]:
        known = site.place.cluster.get("v1", "ConfigMap", page.name, namespace)
        first = () if known else (page.empty(),)  # from then on the step `page` keeps it
        return site.objects([*first, *traefik.manifests(content_hash.digest(site.tls_secrets()))])

    return [
        ObjectsStep(
            site.place,
            "ingress",
            f"Ingress controller Traefik for {site.place.namespace}",
            "default certificate, ssl-passthrough, default backend",
            make,
            requires=("cluster", "certificates", "secrets", "registry", *(("own-images",) if site.brings else ())),
        )
    ]


def _objects(site: TenantSite) -> list[Step]:
    pulls, charts = _charts(site)
    wanted, hosts = user_manifests.load(site.spec.apply, site.store), cluster_steps.host_names(site.spec)
    registry = site.spec.registry
    images = ImageNames(
        prefix=registry.image_prefix,
        url=registry.push_url,
        hosts=() if registry.external else registry.local_names,
        keychain=site.keychain,
    ).with_images(site.spec.push)
    images.connected(wanted)  # so that an ambiguous image name is reported before anything is made
    within = OneNamespace(
        name=site.place.namespace,
        pods=f"app notin ({NAME}, {SERVICE})",
        records=site.place.records,
        registry=site.registry_in_pods,
        adapted=lambda objects: site.objects([*map(hosts.written, objects)]),
        charts=charts,
    )
    requires = ("cluster", "registry", "secrets", *(pull.name for pull in pulls))
    return [*pulls, ApplyStep(site.names, wanted, images, requires=requires, after=("wiring", "push"), within=within)]


def _charts(site: TenantSite) -> tuple[list[Step], RenderedCharts | None]:
    """Return the step that pulls charts, if any is from elsewhere, and what the spec's charts render to.

    Raises UsageError, and MissingTool for helm.
    """
    charts = user_manifests.charts(site.spec.apply)
    if not charts:
        return [], None
    archives, pulls = cluster_steps.pulled(site, charts)
    rendered = RenderedCharts(
        charts=charts,
        archives=archives,
        store=site.store,
        folder=site.names.rendered_charts,
        namespace=site.place.namespace,
    )
    return pulls, rendered


def _page(site: TenantSite) -> Page:
    port, has_own = site.spec.edge.ports[0], site.provided is None
    return tenant_page(site.spec.name, namespace=site.place.namespace, port=port, has_own=has_own)


def _proof(site: TenantSite) -> list[Step]:
    if not site.has_controller:
        return []
    names, namespace, provided = site.names, site.place.namespace, site.provided
    return [
        PageStep(_page(site), lambda: site.place.cluster),
        HttpsStep(
            names=names,
            domain=site.spec.domain,
            binds=site.binds,
            secret=DEFAULT if provided else DOMAIN,
            requires=("edge", "ingress", "apply"),
            root=provided.cert if provided else None,
            namespace=namespace,
            secrets=site.secrets,
        ),
    ]
