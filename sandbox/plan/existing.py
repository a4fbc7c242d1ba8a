"""The plan for a cluster that exists already: everything in one namespace, through its API server alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.bundle.recipe import recipes
from sandbox.bundle.system_images import IN_PODS
from sandbox.components import content_hash
from sandbox.components.certificates.steps import AuthorityStep, TlsSecret, tls_secret
from sandbox.components.cluster.existing.steps import ObjectsStep, OwnPushStep, TenancyStep
from sandbox.components.cluster.existing.tenant import SandboxNamespace, placed, user_at_host
from sandbox.components.cluster.steps import ContextStep
from sandbox.components.edge.route import INGRESS, REGISTRY, Forward, RegistryRoute
from sandbox.components.edge.step import ForwardedEdgeStep, ForwardedPortsStep
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.components.ingress.page import Page, PageStep
from sandbox.components.ingress.traefik import CLASS, DEFAULT, DOMAIN, SERVICE, tenant_manifests, tenant_page
from sandbox.components.registry.external_step import TeamRegistryStep
from sandbox.components.registry.in_cluster_step import (
    NAME,
    PULL_SECRET,
    WRITE_PORT,
    InnerCanaryStep,
    InnerRegistryStep,
    name_on_nodes,
)
from sandbox.components.workloads import user_manifests
from sandbox.components.workloads.charts_step import RenderedCharts
from sandbox.components.workloads.image_names import ImageNames
from sandbox.components.workloads.step import ApplyStep, OneNamespace
from sandbox.images.images_yaml import FromArchive
from sandbox.kube.api import Manifest
from sandbox.oci.reference import Target
from sandbox.plan import certificates_steps, cluster_steps, edge_steps, registry_steps
from sandbox.plan.saved_spec import RememberedStep
from sandbox.plan.site import Site
from sandbox.quantities import count
from sandbox.step import Step, checked


class TenantSite(Site):
    """A sandbox in one namespace of a cluster that exists already; the engine runs the edge and has images."""

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
        return [tls_secret(self.place.namespace, name, pair) for name, pair in pairs]

    @property
    def has_controller(self) -> bool:
        return self.spec.ingress.controller != "none"

    @property
    def brings(self) -> bool:
        """Return whether the system images are pushed to the sandbox's registry: no other registry has them."""
        return self.own.source == "bundle" and self.has_controller

    @property
    def pushing(self) -> tuple[str, ...]:
        return ("registry",) if self.spec.registry.external else ("registry", "edge")

    def image(self, component: str) -> str:
        if not self.brings:
            return self.own.references[component]
        return f"{self.spec.registry.local_names[0]}/{self.target(component)}"

    @staticmethod
    def target(component: str) -> Target:
        return Target(f"sandbox/{component}", recipes()[component].reference.rpartition(":")[2])

    def forward(self, name: str, target: str, port: int) -> Forward:
        return Forward(name, target, str(port), self.place.namespace, str(self.names.kubeconfig))

    def registry_in_pods(self) -> str:
        """Return what pods of this cluster call the registry. Raises SandboxError while there is none."""
        registry = self.spec.registry
        return registry.image_prefix if registry.external else name_on_nodes(self.place)

    def objects(self, manifests: Sequence[Manifest]) -> list[dict[str, Any]]:
        """Return the manifests as they are applied: in the namespace, with the registry's name in this cluster."""
        registry = self.spec.registry
        resources = {version: self.place.cluster.resources(version) for version in {m["apiVersion"] for m in manifests}}
        return placed(
            manifests,
            namespaced={
                (version, kind.kind): kind.namespaced for version, kinds in resources.items() for kind in kinds
            },
            images=dict.fromkeys((*registry.local_names, self.names.registry_endpoint), self.registry_in_pods()),
            pull_secret=None if registry.external else PULL_SECRET,
            ingress_class=CLASS if self.has_controller else self.spec.ingress.class_name,
        )


def build(site: TenantSite, environ: Mapping[str, str]) -> tuple[Step, ...]:
    """Return the steps of a sandbox in an existing cluster. Raises UsageError.

    In CI, whose containers have other host names each time, SANDBOX_OWNER in `environ` says who the owner is.
    """
    spec, names, place, ports = site.spec, site.names, site.place, edge_steps.ports(site.spec)
    secrets = [*(secret.secret for secret in site.secrets), *([DEFAULT] if site.provided else [])]
    title, needs = count(len(secrets), "TLS Secret"), ("cluster", "certificates")
    steps: list[Step] = [
        RememberedStep(names, spec),
        AuthorityStep(
            names=names,
            keystore=site.keystore,
            domains=spec.vouched,
            leaves={secret.leaf: secret.hosts for secret in site.secrets},
            purge=site.purge,
            unvouched=(),
        ),
        TenancyStep(
            names=names,
            paths=(site.home.kubeconfig, *site.home.other_kubeconfigs),
            context=str(spec.cluster.context),
            namespace=place.namespace,
            owner=environ.get("SANDBOX_OWNER") or user_at_host(),
        ),
        ContextStep(names),
        *_registry(site),
        ObjectsStep(place, "secrets", title, ", ".join(secrets), site.tls_secrets, requires=needs),
        *([_ingress(site)] if site.has_controller else []),
        *_objects(site),
        *(_proof(site) if site.has_controller else []),
        *([ForwardedPortsStep(names, place.namespace, ports)] if ports else []),
    ]
    return checked(steps)


def _registry(site: TenantSite) -> list[Step]:
    spec, registry, edge = site.spec, site.spec.registry, _edge(site)
    steps: list[Step] = [registry_steps.images(site)]
    if registry.external:
        steps += [TeamRegistryStep(registry.external, site.keychain), *edge]
    else:
        steps += [InnerRegistryStep(site.place, site.own.references["registry"]), *edge]
        steps.append(InnerCanaryStep(site.place, registry.push_url))
    if site.brings:
        # Without the image of the registry: it must run before anything can be pushed to it.
        archives = (FromArchive(site.target(name), site.store.image(recipes()[name])) for name in IN_PODS)
        steps.append(OwnPushStep(tuple(archives), registry.push_url, site.keychain, requires=site.pushing))
    if spec.push:
        steps.append(registry_steps.push_of(site, spec.push, (*site.pushing, "images")))
    return steps


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


def _ingress(site: TenantSite) -> Step:
    namespace, page = site.place.namespace, _page(site)

    def make() -> Sequence[Manifest]:
        # Once the page exists, the step `page` keeps it.
        first = () if site.place.cluster.get("v1", "ConfigMap", page.name, namespace) else (page.empty(),)
        traefik = tenant_manifests(
            image=site.image("traefik"),
            busybox=site.image("busybox"),
            namespace=namespace,
            certificates=content_hash.digest(site.tls_secrets()),
        )
        return site.objects([*first, *traefik])

    return ObjectsStep(
        site.place,
        "ingress",
        f"Ingress controller Traefik for {namespace}",
        "default certificate, ssl-passthrough, default backend",
        make,
        requires=("cluster", "certificates", "secrets", "registry", *(("own-images",) if site.brings else ())),
    )


def _objects(site: TenantSite) -> list[Step]:
    manifests, hosts = user_manifests.load(site.spec.apply, site.store), cluster_steps.host_names(site.spec)
    charts = user_manifests.charts(site.spec.apply)
    pulls = cluster_steps.pulls(site, charts)
    registry = site.spec.registry
    images = ImageNames(
        prefix=registry.image_prefix,
        url=registry.push_url,
        hosts=() if registry.external else registry.local_names,
        keychain=site.keychain,
    ).with_images(site.spec.push)
    images.connected(manifests)  # so that an ambiguous image name is reported before anything is made
    within = OneNamespace(
        name=site.place.namespace,
        pods=f"app notin ({NAME}, {SERVICE})",
        records=site.place.records,
        registry=site.registry_in_pods,
        adapted=lambda objects: site.objects([*map(hosts.written, objects)]),
        charts=RenderedCharts(charts, site.names, site.place.namespace) if charts else None,
    )
    requires = ("cluster", "registry", "secrets", *(pull.name for pull in pulls))
    return [
        *pulls,
        ApplyStep(site.names, manifests, images, requires=requires, after=("wiring", "push"), within=within),
    ]


def _proof(site: TenantSite) -> list[Step]:
    https = HttpsStep(
        names=site.names,
        domain=site.spec.domain,
        binds=site.binds,
        secret=DEFAULT if site.provided else DOMAIN,
        requires=("edge", "ingress", "apply"),
        root=site.provided.cert if site.provided else None,
        namespace=site.place.namespace,
    )
    return [PageStep(_page(site), lambda: site.place.cluster), https]


def _page(site: TenantSite) -> Page:
    port, has_own = site.spec.edge.ports[0], site.provided is None
    return tenant_page(site.spec.name, namespace=site.place.namespace, port=port, has_own=has_own)
