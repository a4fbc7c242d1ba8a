"""A spec as a list of steps: the table of contents of a sandbox, and the only place that wires things together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sandbox.addons import catalogue
from sandbox.addons.choice import Use
from sandbox.bundle.own import OwnImages
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.certs.keystore import Keystore
from sandbox.certs.names import domain_names, subject_names
from sandbox.certs.provided import Provided
from sandbox.cluster import manifests
from sandbox.cluster.kind import Kind, Tags
from sandbox.errors import SandboxError, UsageError
from sandbox.host import proxies, resolvers
from sandbox.host.engine import Bind, Engine
from sandbox.host.process import which
from sandbox.host.proxies import Proxies
from sandbox.host.resolvers import Upstream
from sandbox.ingress.controller import Controller
from sandbox.ingress.nginx import Nginx
from sandbox.ingress.traefik import Traefik
from sandbox.names import (
    DEFAULT_TLS,
    DOMAIN_TLS,
    EDGE_LEAF,
    INGRESS_SERVICE,
    NETWORK,
    REGISTRY_PORT,
    SYSTEM_NAMESPACE,
    Home,
    Names,
)
from sandbox.proxy import byhand, passthrough_upstream, routes
from sandbox.proxy.passthrough_upstream import Forwarded
from sandbox.proxy.routes import Host
from sandbox.registry.credential import Keychain
from sandbox.registry.lockfile import LockFile
from sandbox.spec import Settled, Spec
from sandbox.steps.accounts import AccountsStep
from sandbox.steps.addon import AddonStep
from sandbox.steps.addon_images import AddonImages
from sandbox.steps.apply import ApplyStep
from sandbox.steps.authority import AuthorityStep
from sandbox.steps.cert_manager import CertManagerStep
from sandbox.steps.cluster import ClusterStep
from sandbox.steps.context import ContextStep
from sandbox.steps.credentials import CredentialsStep
from sandbox.steps.displaced import DisplacedStep
from sandbox.steps.dns import DnsStep
from sandbox.steps.edge import EdgeStep
from sandbox.steps.external_registry import ExternalRegistryStep
from sandbox.steps.https import HttpsStep
from sandbox.steps.images import ImagesStep
from sandbox.steps.ingress import IngressStep
from sandbox.steps.issuer import IssuerStep
from sandbox.steps.lan import Access, access
from sandbox.steps.mirrors import MirrorsStep
from sandbox.steps.network import NetworkStep
from sandbox.steps.page import PageStep
from sandbox.steps.passthrough import PassthroughStep
from sandbox.steps.pod_proxy import PodProxyStep
from sandbox.steps.provided import ProvidedStep
from sandbox.steps.proxied import Proxied
from sandbox.steps.push import PushStep
from sandbox.steps.registry import RegistryStep
from sandbox.steps.secrets import SecretsStep, TlsSecret
from sandbox.steps.step import Step
from sandbox.steps.tls_registry import TlsRegistryStep
from sandbox.steps.trust import TrustStep
from sandbox.steps.wiring import WiringStep


def build(
    spec: Settled,
    home: Home,
    engine: Engine,
    own: OwnImages,
    *,
    purge: bool = False,
    keychain: Keychain | None = None,
) -> tuple[Step, ...]:
    """The steps of the sandbox that `spec` describes, in an order that respects their needs.

    `keychain` has the user's accounts at upstream registries. Reads the spec's manifests, so that whatever is wrong
    with them is said before anything is made. Raises UsageError.
    """
    names = home.sandbox(spec.name)
    images = own.references
    binds = tuple(Bind(spec.proxy.listen, port) for port in spec.proxy.ports)
    keystore = Keystore(names.keys)
    external = spec.registry.external
    upstream, proxied = _upstream(spec), Proxied(engine, names, spec.domain, _proxies(spec))
    provided, lan = _provided(spec), access(spec, keystore)
    leaves = {**_leaves(spec), **_edge_leaf(spec, home, lan)}
    kind = Kind.find(NETWORK, extra=Store(home.bundle).program(recipes()["kind"], "kind").parent)
    steps: list[Step] = [
        ImagesStep(engine, own, Store(home.bundle)),
        NetworkStep(engine),
        AuthorityStep(names, keystore, (*spec.vouched, *lan.domains), leaves, purge, lan.unvouched),
        _registry(spec, names, engine, images["registry"], purge),
        *_mirrors(spec, names, engine, images["registry"], keychain, purge),
        *_edge(spec, names, engine, images["haproxy"], binds, lan),
        ClusterStep(
            engine,
            names,
            kind,
            images["node"],
            own.kubernetes,
            _tags(own),
            upstream.servers,
            spec.network.search,
            proxied,
        ),
        ContextStep(names),
        DnsStep(
            engine,
            names,
            spec.domain,
            INGRESS_SERVICE if spec.ingress.controller != "none" else None,
            upstream,
            spec.network.hosts,
        ),
        PodProxyStep(names, proxied),
        TrustStep(engine, names, keystore, provided),
    ]
    if spec.registry.tls:
        steps.append(TlsRegistryStep(engine, names, spec.registry.tls))
    if spec.push:
        pushed = _pushed(spec.push)
        steps.append(PushStep(engine, pushed, spec.registry.port, external, keychain, needs=("registry", "images")))
    steps.append(WiringStep(engine, names, spec.registry.port, external, spec.registry.mirrors))
    if spec.credentials or names.credentials.exists():
        steps += [AccountsStep(names, spec.credentials), CredentialsStep(engine, names, spec.credentials)]
    steps += [_addons(spec, names, engine, kind), *_certificates(spec, home, keystore)]
    controller = _controller(spec, home, own)
    if controller:
        default = "provided" if provided else "issuer" if spec.certs.issuer == "cert-manager" else "secrets"
        steps.append(IngressStep(engine, names, controller, needs=(default,)))
    steps += _last(spec, names, binds, {step.name for step in steps})
    return tuple(steps)


def _registry(spec: Settled, names: Names, engine: Engine, image: str, purge: bool) -> Step:
    """The sandbox's own registry, or the one that the user has."""
    if spec.registry.external:
        return ExternalRegistryStep(engine, names, spec.registry.external, purge)
    return RegistryStep(engine, names, image, spec.registry.port, purge, spec.registry.storage)


def _mirrors(
    spec: Settled, names: Names, engine: Engine, image: str, keychain: Keychain | None, purge: bool
) -> list[Step]:
    """The caches of upstream registries, also while there are some of an earlier spec to be taken away."""
    if not spec.registry.mirrors and not names.mirrors.exists():
        return []
    return [MirrorsStep(engine, names, image, spec.registry.mirrors, keychain, purge)]


def _addons(spec: Settled, names: Names, engine: Engine, kind: Kind) -> Step:
    """What the spec adds to the cluster, or a command did; their images are the bundle's or in a known registry."""
    registry = (spec.registry.external or f"localhost:{spec.registry.port}").rpartition("://")[2]
    here = (registry, f"{names.registry}:{REGISTRY_PORT}")
    others = (*spec.registry.tls, *(one.rpartition("://")[2] for one in spec.registry.mirrors))
    where, store = spec.registry.external or registry, Store(names.home.bundle)
    images = AddonImages(engine, names, kind, store, where, here, others)
    uses = tuple(Use(one.addon, one.values) for one in spec.addons)
    for use in uses:  # so that what cannot be found is said at once
        catalogue.find(use.source)
    values = {"sandbox": spec.name, "domain": spec.domain, "registry": registry, "https_port": str(spec.proxy.ports[0])}
    return AddonStep(images, uses, values, needs=("wiring", *(("push",) if spec.push else ())))


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


def _edge(spec: Settled, names: Names, engine: Engine, image: str, binds: tuple[Bind, ...], lan: Access) -> list[Step]:
    """What brings the host's ports to the ingress, after the other kind of it is gone if an earlier spec had that."""
    container = EdgeStep(engine, names, image, spec.domain, binds, _edge_hosts(spec), lan.domains)
    process = PassthroughStep(names, spec.domain, binds, _port_forward(names), _kubectl(names.home))
    if spec.proxy.run == "container":
        other = DisplacedStep(process) if routes.find(routes.load(names.home.passthrough), spec.name) else None
        return [other, replace(container, needs=(*container.needs, other.name))] if other else [container]
    other = DisplacedStep(container) if routes.find(routes.load(names.home.edge), spec.name) else None
    return [other, replace(process, needs=(*process.needs, other.name))] if other else [process]


def _edge_hosts(spec: Spec) -> tuple[Host, ...]:
    """The hosts of the spec that have a way of their own through the edge."""
    return tuple(Host(one.host, one.ends, one.to) for one in spec.proxy.hosts)


def _edge_leaf(spec: Spec, home: Home, lan: Access) -> Mapping[str, tuple[str, ...]]:
    """The certificate for exactly the hosts that end at the edge, if there are any."""
    hosts = byhand.ending(_edge_hosts(spec), byhand.load(home.edge), spec.name, lan.domains)
    return {EDGE_LEAF: hosts} if hosts else {}


def _port_forward(names: Names) -> str:
    """The way to the ingress controller through the cluster's API server, which any kind of cluster has."""
    return passthrough_upstream.write(
        Forwarded(
            kubectl=str(names.home.kubectl),
            kubeconfig=str(names.kubeconfig),
            namespace=SYSTEM_NAMESPACE,
            target="service/ingress",
            port=443,
        )
    )


def _kubectl(home: Home) -> Path:
    """The kubectl on the PATH, else the bundle's program for all of Kubernetes."""
    return which("kubectl") or Store(home.bundle).program(recipes()["kubernetes"], "kubernetes")


def _controller(spec: Settled, home: Home, own: OwnImages) -> Controller | None:
    """The ingress controller, unless the user brings one. Raises SandboxError for one that cannot be had here."""
    busybox, port = own.references["busybox"], spec.proxy.ports[0]
    if spec.ingress.controller == "none":
        return None
    if spec.ingress.controller == "nginx":
        if own.source == "bundle":
            raise UsageError(
                "the bundle has no ingress-nginx: its nginx with Lua cannot be built from packages",
                fix="in sandbox.yaml, set ingress.controller to traefik, which reads the same annotations, or "
                "images.source to upstream",
            )
        return Nginx(busybox, spec.name, port)
    files = _gateway_files(home, own) if spec.ingress.gateway_api else None
    return Traefik(
        own.references["traefik"],
        busybox,
        spec.name,
        port,
        None if spec.certs.default else DOMAIN_TLS,
        files,
        byhand.leaving(_edge_hosts(spec), byhand.load(home.edge), spec.name),
    )


def _gateway_files(home: Home, own: OwnImages) -> Path:
    """Where the Gateway API's kinds are, or will be once they were downloaded."""
    if own.source == "upstream":
        return home.manifests
    store, recipe = Store(home.bundle), recipes()["gateway-api"]
    if not store.has(recipe):
        raise SandboxError("the bundle lacks the Gateway API", fix="sandbox bundle build", id="no-bundle")
    return store.files(recipe)


def _pushed(manifest: Path) -> LockFile:
    """The images of the manifest with its lock, which can both be read."""
    images = LockFile.of(manifest)
    images.read()
    return images


def _last(spec: Settled, names: Names, binds: tuple[Bind, ...], before: set[str]) -> list[Step]:
    """What comes when the rest stands: the user's objects, a page that lists their hosts, the proof."""
    steps: list[Step] = []
    if spec.apply:
        wanted = ("push", "wiring", "credentials", "addons", "provided", "issuer", "secrets")
        needs = tuple(name for name in wanted if name in before)
        steps.append(ApplyStep(names, manifests.load(spec.apply), needs=needs))
    if "ingress" in before:
        needs = ("ingress", "apply") if spec.apply else ("ingress",)
        if spec.ingress.controller == "nginx":
            steps.append(PageStep(names, spec.proxy.ports[0], needs=needs))
        provided = _provided(spec)
        root = provided.cert if provided else None
        secret = DOMAIN_TLS if spec.ingress.controller == "traefik" and not provided else DEFAULT_TLS
        steps.append(HttpsStep(names, spec.domain, binds, secret, needs=("edge", *needs), root=root))
    return steps


def _certificates(spec: Spec, home: Home, keystore: Keystore) -> list[Step]:
    """The TLS Secrets: the one that the user brings, and those that we or cert-manager issue."""
    names, provided, secrets = home.sandbox(spec.name), _provided(spec), _secrets(spec)
    steps: list[Step] = [ProvidedStep(names, provided)] if provided else []
    if spec.certs.issuer == "cert-manager":
        steps += [CertManagerStep(names, home.manifests), IssuerStep(names, keystore, secrets)]
    elif secrets:
        steps.append(SecretsStep(names, keystore, secrets))
    return steps


def _provided(spec: Spec) -> Provided | None:
    """The default certificate that the user brings, if any."""
    return Provided(spec.certs.default.cert, spec.certs.default.key) if spec.certs.default else None


def _leaves(spec: Spec) -> Mapping[str, tuple[str, ...]]:
    """The certificates that we issue ourselves: file name to hosts."""
    return {} if spec.certs.issuer == "cert-manager" else {one.leaf: one.hosts for one in _secrets(spec)}


def _secrets(spec: Spec) -> tuple[TlsSecret, ...]:
    """The Secrets with certificates of the sandbox's own authority."""
    own = (
        TlsSecret(SYSTEM_NAMESPACE, DEFAULT_TLS, "default", subject_names(spec.domain)),
        # Without addresses: clients made with BoringSSL, gRPC's among them, refuse a chain that constrains addresses
        # as soon as the leaf has one.
        TlsSecret(SYSTEM_NAMESPACE, DOMAIN_TLS, "domain", domain_names(spec.domain)),
    )
    extra = (
        TlsSecret(one.namespace, one.secret, f"{one.namespace}.{one.secret}", one.hosts) for one in spec.certs.secrets
    )
    return (*(() if spec.certs.default else own), *extra)


def _tags(own: OwnImages) -> Tags | None:
    """The bundle's etcd and CoreDNS are newer than those that kubeadm would ask for."""
    if own.source != "bundle":
        return None
    return Tags(etcd=f"{recipes()['etcd'].version}-0", coredns=recipes()["coredns"].version)
