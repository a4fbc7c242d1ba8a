"""The registries of a sandbox: its own, mirrors and further ones, and the images that are pushed."""

from collections.abc import Mapping
from pathlib import Path

from sandbox.bundle import published, system_images
from sandbox.bundle.images_step import ImagesStep
from sandbox.components.certificates import cert_manager
from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.components.credentials.registry_accounts import shared_keychain
from sandbox.components.credentials.steps import AccountsStep, CredentialsStep
from sandbox.components.registry.container_step import RegistryStep
from sandbox.components.registry.external_step import ExternalRegistryStep
from sandbox.components.registry.mirrors_step import MirrorsStep
from sandbox.components.registry.node_config_step import TlsRegistryStep, WiringStep
from sandbox.components.workloads.image_names import ImageNames
from sandbox.config.schema import ResolvedRegistry
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.lockfile import LockFile
from sandbox.images.push_step import PushStep
from sandbox.names import HTTPS_PORT, INGRESS_PORT, Names
from sandbox.plan import providers
from sandbox.plan.site import ClusterSite, Site
from sandbox.provider import Nodes
from sandbox.step import Step


def registry(site: ClusterSite) -> Step:
    spec = site.spec.registry
    if spec.external:
        return ExternalRegistryStep(site.engine, site.nodes.network, site.names, spec.external, site.purge)
    return RegistryStep(
        engine=site.engine,
        names=site.names,
        image=site.own.references["registry"],
        edge_image=site.own.references["haproxy"],
        port=spec.port,
        storage=spec.storage,
        purge=site.purge,
    )


def mirrors(site: ClusterSite) -> list[Step]:
    upstreams = site.spec.registry.mirrors
    if not upstreams and not site.names.mirrors.exists():
        return []
    step = MirrorsStep(
        engine=site.engine,
        names=site.names,
        image=site.own.references["registry"],
        upstreams=upstreams,
        lent=shared_keychain(site.spec.credentials, site.environ),
        purge=site.purge,
        company=providers.company(site.spec),
    )
    return [step] if step.is_needed else []


def behind_ingress(site: ClusterSite) -> list[Step]:
    hosts = site.spec.registry.tls
    if not hosts:
        return []
    port = HTTPS_PORT if site.spec.ingress.controller == "none" else INGRESS_PORT
    return [TlsRegistryStep(site.nodes, hosts, port)]


def push_of(site: Site, manifest: Path, requires: tuple[str, ...] = ("registry", "images")) -> PushStep:
    return PushStep(
        site.engine,
        readable(manifest),
        site.spec.registry.push_url,
        site.keychain,
        site.home.spool,
        buildx=system_images.buildx(site.store),
        requires=requires,
    )


def images(site: Site) -> Step:
    """Return the step for system images, and for those of the bundle that the user's images.yaml names."""
    spec, engine, store = site.spec, site.engine, site.store
    entries = readable(spec.push).entries if spec.push else ()
    further = system_images.further(entry.image for entry in entries if isinstance(entry, FromDaemon))
    for recipe in further:
        if engine.image_id(recipe.reference) is None and not store.has(recipe):
            raise SandboxError(
                f"{spec.push} asks for {system_images.PREFIX}{recipe.name}, which the bundle lacks",
                fix=f"sandbox bundle build {recipe.name}",
                id="no-bundle",
            )
    # In an existing cluster the sandbox has no containers at all.
    containers = spec.cluster.supports.containers
    components = system_images.in_engine(spec.cluster) if containers else tuple(system_images.ALIASES)
    pulled: Mapping[str, str] = {}
    if spec.certs.issuer == "cert-manager":
        mirrors = spec.images.mirrors
        pulled = {name: published.mirrored(image, mirrors) for name, image in cert_manager.images().items()}
    return ImagesStep(engine=engine, own=site.own, store=store, further=further, pulled=pulled, components=components)


def image_names(site: ClusterSite) -> ImageNames:
    """Return the names of the registry's images in manifests and charts, by which those of a push are found."""
    registry, names = site.spec.registry, site.names
    inside = (names.registry_endpoint, f"{names.registry}:{registry.port}")
    return ImageNames(
        prefix=registry.image_prefix,
        url=registry.push_url,
        hosts=() if registry.external else (*registry.local_names, *inside),
        keychain=site.keychain,
    )


def wiring(engine: Engine, nodes: Nodes, names: Names, registry: ResolvedRegistry) -> Step:
    return WiringStep(engine, nodes, names, registry)


def accounts(site: ClusterSite) -> list[Step]:
    """Return the credentials for other registries that pods get; also needed to remove those of an earlier spec."""
    entries = site.spec.credentials
    if not entries and not site.names.credentials.exists():
        return []
    names = site.names
    pods = PodCredentials(site.engine, site.nodes.running, names.kubeconfig, names.credentials, site.environ)
    adopted = site.spec.cluster.profile is not None
    return [AccountsStep(names, entries, site.environ), CredentialsStep(pods, entries, adopted=adopted)]


def readable(manifest: Path) -> LockFile:
    images = LockFile.of(manifest)
    images.read()
    return images
