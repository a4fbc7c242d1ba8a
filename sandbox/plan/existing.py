"""The plan for a cluster that exists already: all of it in one namespace, by nothing but its API server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import OwnImages
from sandbox.components import content_hash
from sandbox.components.certificates import tls_secrets
from sandbox.components.certificates.authority_step import AuthorityStep
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.subject_names import domain_names, subject_names
from sandbox.components.certificates.tls_secrets import TlsSecret
from sandbox.components.cluster.existing.steps import ObjectsStep, TenancyStep
from sandbox.components.cluster.existing.tenant import Place, placed, user_at_host
from sandbox.components.cluster.steps import ContextStep
from sandbox.components.edge.relay import relay_upstream
from sandbox.components.edge.relay.relay_upstream import PLAIN, Forwarded
from sandbox.components.edge.relay.step import PassthroughStep
from sandbox.components.edge.routes import Tunnel
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.components.ingress.traefik import CLASS, DEFAULT, DOMAIN, SERVICE, TenantTraefik
from sandbox.components.registry.in_cluster import NAME, PULL_SECRET, WRITE_PORT
from sandbox.components.registry.in_cluster_canary_step import InnerCanaryStep
from sandbox.components.registry.in_cluster_step import InnerRegistryStep, name_on_nodes
from sandbox.components.registry.system_images_step import OwnPushStep
from sandbox.components.registry.team_step import TeamRegistryStep
from sandbox.components.workloads import user_manifests
from sandbox.components.workloads.image_names import ImageNames
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Bind, Engine
from sandbox.errors import UsageError
from sandbox.images.images_yaml import FromArchive, FromBuild, FromDaemon
from sandbox.images.push_step import PushStep
from sandbox.images.target import Target
from sandbox.kube.api import Manifest
from sandbox.names import Home, Names
from sandbox.oci.credential import Keychain
from sandbox.plan import edge_steps, registry_steps
from sandbox.plan.saved_spec import RememberedStep
from sandbox.step import Step, checked

# What the bundle has for pods, besides the registry, which nothing can bring into itself.
BROUGHT = ("traefik", "busybox")


def build(
    spec: ResolvedSpec, home: Home, engine: Engine, own: OwnImages, *, purge: bool, keychain: Keychain | None
) -> tuple[Step, ...]:
    """Return the steps of a sandbox in another user's cluster.

    As `plan.build`, and needs the engine for its images only.
    """
    lot = _Lot(spec, home.sandbox(spec.name), own)
    steps: list[Step] = [
        RememberedStep(lot.names, spec, purge),
        AuthorityStep(
            names=lot.names,
            keystore=lot.keystore,
            domains=spec.vouched,
            leaves={one.leaf: one.hosts for one in lot.secrets},
            purge=purge,
            unvouched=(),
        ),
        TenancyStep(
            names=lot.names,
            paths=(home.kubeconfig, *home.other_kubeconfigs),
            context=lot.context,
            namespace=lot.place.namespace,
            owner=user_at_host(),
        ),
        ContextStep(lot.names),
        *_registry(lot, keychain),
        *_edge(lot),
        *([] if spec.registry.external else [InnerCanaryStep(lot.place, spec.registry.push_url)]),
        *_own_images(lot, keychain),
        *_push(lot, engine, keychain),
        _secrets(lot),
        *_ingress(lot),
        *_objects(lot, keychain),
        *_proof(lot),
    ]
    return checked(steps)


@dataclass(frozen=True)
class _Lot:
    """One sandbox in a cluster that is not ours, and what its steps are made from."""

    spec: ResolvedSpec
    names: Names
    own: OwnImages

    @property
    def context(self) -> str:
        return str(self.spec.cluster.context)

    @property
    def place(self) -> Place:
        return Place(self.names, str(self.spec.namespace))

    @property
    def keystore(self) -> Keystore:
        return Keystore(self.names.keys)

    @property
    def binds(self) -> tuple[Bind, ...]:
        return tuple(Bind(self.spec.proxy.listen, port) for port in self.spec.proxy.ports)

    @property
    def secrets(self) -> tuple[TlsSecret, ...]:
        """Return the TLS Secrets, all in the one namespace whatever the spec says of theirs."""
        namespace, domain = self.place.namespace, self.spec.domain
        return (
            TlsSecret(namespace=namespace, secret=DEFAULT, leaf="default", hosts=subject_names(domain)),
            TlsSecret(namespace=namespace, secret=DOMAIN, leaf="domain", hosts=domain_names(domain)),
            *(
                TlsSecret(namespace=namespace, secret=one.secret, leaf=f"{one.namespace}.{one.secret}", hosts=one.hosts)
                for one in self.spec.certs.secrets
            ),
        )

    def tls_secrets(self) -> list[Manifest]:
        """Return the Secrets with the certificates of now, which the step `certificates` keeps."""
        pairs = [(one, self.keystore.leaf_files(one.leaf).read()) for one in self.secrets]
        return [
            tls_secrets.tls_secret(one.namespace, one.secret, chain_pem=pair.cert_pem, key_pem=pair.key_pem)
            for one, pair in pairs
        ]

    @property
    def store(self) -> Store:
        return Store(self.names.home.bundle)

    @property
    def brings(self) -> bool:
        """Tell whether nodes can get the ingress controller's images from no one but us."""
        return self.own.source == "bundle" and self.has_controller

    @property
    def has_controller(self) -> bool:
        """Tell whether the ingress controller is ours."""
        return self.spec.ingress.controller != "none"

    @property
    def pushing(self) -> tuple[str, ...]:
        """Return the steps that a push needs."""
        return ("registry",) if self.spec.registry.external else ("registry", "edge")

    def image(self, component: str) -> str:
        """Return the image of a component as a manifest of the user's would have it."""
        if not self.brings:
            return self.own.references[component]
        return f"{self.spec.registry.local_names[0]}/{self.target(component)}"

    @staticmethod
    def target(component: str) -> Target:
        """Return where in the registry a component of the bundle is brought."""
        _, _, tag = recipes()[component].reference.rpartition(":")
        return Target(f"sandbox/{component}", tag)

    def forward(self, target: str, port: int, speaks: str) -> str:
        """Return a way to a port of a pod through the API server."""
        return relay_upstream.write(
            Forwarded(
                kubectl=str(self.names.home.kubectl),
                kubeconfig=str(self.names.kubeconfig),
                namespace=self.place.namespace,
                target=target,
                port=port,
                speaks=speaks,
            )
        )

    def images(self) -> Mapping[str, str]:
        """Return what an image of the sandbox's registry begins with in manifests, and with what in this cluster."""
        registry = self.spec.registry
        there = registry.image_prefix if registry.external else name_on_nodes(self.place)
        return dict.fromkeys((*registry.local_names, self.names.registry_endpoint), there)

    def objects(self, wanted: Sequence[Manifest]) -> list[dict[str, Any]]:
        """Return the user's objects as they are to be in this cluster."""
        versions = {one["apiVersion"] for one in wanted}
        known = {version: self.place.cluster.resources(version) for version in versions}
        return placed(
            wanted,
            namespaced={(version, one.kind): one.namespaced for version, found in known.items() for one in found},
            images=self.images(),
            pull_secret=None if self.spec.registry.external else PULL_SECRET,
            ingress_class=CLASS if self.has_controller else self.spec.ingress.class_name,
        )


def _registry(lot: _Lot, keychain: Keychain | None) -> list[Step]:
    external = lot.spec.registry.external
    if external:
        return [TeamRegistryStep(external, keychain)]
    return [InnerRegistryStep(lot.place, lot.own.references["registry"])]


def _edge(lot: _Lot) -> list[Step]:
    """Return the process that connects this machine's ports with the ingress, and pushes with the registry."""
    address, external = lot.spec.ingress.address, lot.spec.registry.external
    binds = lot.binds if lot.has_controller or address else ()
    if not binds and external:
        return []
    tunnel = Tunnel(lot.spec.registry.port, lot.forward(f"deployment/{NAME}", WRITE_PORT, "http"))
    ingress = f"{PLAIN}:{address}" if address else lot.forward(f"service/{SERVICE}", 443, "tls")
    kubectl, tunnels = edge_steps.kubectl(lot.store), () if external else (tunnel,)
    return [PassthroughStep(lot.names, lot.spec.domain, binds, ingress, kubectl, tunnels)]


def _own_images(lot: _Lot, keychain: Keychain | None) -> list[Step]:
    if not lot.brings:
        return []
    entries = tuple(FromArchive(lot.target(one), lot.store.image(recipes()[one])) for one in BROUGHT)
    return [OwnPushStep(entries, lot.spec.registry.push_url, keychain, requires=lot.pushing)]


def _push(lot: _Lot, engine: Engine, keychain: Keychain | None) -> list[Step]:
    spec = lot.spec
    if not spec.push:
        return []
    images = registry_steps.readable(spec.push)
    steps: list[Step] = []
    if any(isinstance(one, FromDaemon | FromBuild) for one in images.entries):
        steps.append(registry_steps.images(spec, engine, lot.own, lot.store))
    requires = (*lot.pushing, *(step.name for step in steps))
    return [*steps, PushStep(engine, images, spec.registry.push_url, keychain, lot.names.home.spool, requires=requires)]


def _secrets(lot: _Lot) -> Step:
    title, names = f"{len(lot.secrets)} TLS Secrets", ", ".join(one.secret for one in lot.secrets)
    return ObjectsStep(lot.place, "secrets", title, names, lot.tls_secrets, requires=("cluster", "certificates"))


def _ingress(lot: _Lot) -> list[Step]:
    if not lot.has_controller:
        return []
    port = lot.spec.proxy.ports[0]
    traefik = TenantTraefik(
        image=lot.image("traefik"),
        busybox=lot.image("busybox"),
        sandbox=lot.spec.name,
        namespace=lot.place.namespace,
        port=port,
    )

    def make() -> Sequence[Manifest]:
        return lot.objects(traefik.manifests(content_hash.digest(lot.tls_secrets())))

    return [
        ObjectsStep(
            lot.place,
            "ingress",
            f"Ingress controller Traefik for {lot.place.namespace}",
            "default certificate, ssl-passthrough, default backend",
            make,
            requires=("cluster", "certificates", "secrets", "registry", *(("own-images",) if lot.brings else ())),
        )
    ]


def _objects(lot: _Lot, keychain: Keychain | None) -> list[Step]:
    if not lot.spec.apply:
        return []
    if charts := user_manifests.charts(lot.spec.apply):
        raise UsageError(
            f"the chart {charts[0].name} cannot go into a cluster that is not the sandbox's",
            fix=f"helm template {charts[0].name} … > k8s/{charts[0].name}.yaml, and name that file below `apply`",
        )
    wanted = user_manifests.load(lot.spec.apply, lot.store)
    registry = lot.spec.registry
    images = ImageNames.of(
        lot.spec.push,
        prefix=registry.image_prefix,
        url=registry.push_url,
        hosts=() if registry.external else registry.local_names,
        keychain=keychain,
    )
    images.connected(wanted)  # so that a name that may be two images is told before anything is made
    title = f"{len(wanted)} user manifests"

    def make() -> Sequence[Manifest]:
        return lot.objects(images.written(wanted))

    requires, after = ("cluster", "registry", "secrets"), ("wiring", "push")
    promises = f"in {lot.place.namespace}"
    return [ObjectsStep(lot.place, "apply", title, promises, make, requires=requires, after=after)]


def _proof(lot: _Lot) -> list[Step]:
    if not lot.has_controller:
        return []
    requires = ("edge", "ingress", *(("apply",) if lot.spec.apply else ()))
    names, namespace = lot.names, lot.place.namespace
    return [
        HttpsStep(
            names=names,
            domain=lot.spec.domain,
            binds=lot.binds,
            secret=DOMAIN,
            requires=requires,
            namespace=namespace,
            secrets=lot.secrets,
        )
    ]
