"""Makes the provider that the spec names, and finds the nodes of a sandbox of which only the name is known."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace

from sandbox.bundle import released_tools
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import OwnImages
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.cluster.dns import Dns
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.cluster.kind.cluster_config import Tags
from sandbox.components.cluster.kind.command import Kind
from sandbox.components.cluster.minikube import provider as minikube_provider
from sandbox.components.cluster.minikube.command import Minikube
from sandbox.components.cluster.pod_proxy import Proxied
from sandbox.components.network import proxy_settings
from sandbox.components.network.proxy_settings import Proxies
from sandbox.config.schema import Spec
from sandbox.config.schema.cluster_schema import Cluster
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.names import INGRESS_SERVICE, Names
from sandbox.plan import saved_spec
from sandbox.provider import Nodes, Provider
from sandbox.system import resolvers


def provider(spec: Spec, names: Names, engine: Engine, own: OwnImages, environ: Mapping[str, str]) -> Provider:
    if spec.cluster.provider == "minikube":
        adopted = spec.cluster.profile
        minikube = Minikube.find(adopted or names.cluster)
        return minikube_provider.MinikubeProvider(
            engine=engine,
            names=names,
            minikube=minikube,
            adopted=adopted is not None,
            kubernetes=spec.cluster.kubernetes,
            proxied=proxied(spec, names, engine, minikube_provider.nodes(engine, minikube.profile), environ),
            loaded=own.source == "bundle",
        )
    kind = replace(
        _kind(names),
        podman=engine.address if engine.is_podman else "",
        balancer=own.references["balancer"] if spec.cluster.nodes.control_plane > 1 else "",
    )
    tags = None
    if own.source == "bundle":
        tags = Tags(etcd=f"{recipes()['etcd'].version}-0", coredns=recipes()["coredns"].version)
    return kind_provider.KindProvider(
        engine=engine,
        names=names,
        kind=kind,
        shape=spec.cluster,
        image=own.references["node"],
        tags=tags,
        search=spec.network.search,
        proxied=proxied(spec, names, engine, kind_provider.nodes(engine, names), environ),
        company=company(spec),
        dns=dns(spec, names, engine, names.network),
        kubernetes=own.kubernetes,
    )


def nodes(engine: Engine, names: Names) -> Nodes:
    """Return the nodes of the cluster by the spec of the last `up`, whether or not they exist."""
    cluster = Cluster()
    with contextlib.suppress(SandboxError):
        spec = saved_spec.load(names)
        cluster = spec.cluster if spec else cluster
    if cluster.provider == "minikube":
        return minikube_provider.nodes(engine, cluster.profile or names.cluster)
    return kind_provider.nodes(engine, names, cluster.nodes)


def require_tool(spec: Spec, names: Names) -> None:
    """Raise MissingTool or UsageError where the provider's tool is absent, too old or not usable."""
    if spec.cluster.supports.node_image:
        _kind(names).require()
    else:
        profile = spec.cluster.profile
        minikube_provider.require(Minikube.find(profile or names.cluster), adopted=profile is not None)


def _kind(names: Names) -> Kind:
    return Kind.of(released_tools.find("kind", Store(names.home.bundle)), names.network)


def dns(spec: Spec, names: Names, engine: Engine, network: str) -> Dns:
    nameservers = spec.network.nameservers
    return Dns(
        engine=engine,
        names=names,
        network=network,
        domain=spec.domain,
        ingress=INGRESS_SERVICE if spec.ingress.controller != "none" else None,
        upstream=resolvers.upstream() if nameservers == "auto" else resolvers.Upstream(nameservers),
        hosts=spec.network.hosts,
        services={route.host: route.to.partition(":")[0] for route in spec.edge.tls},
        machine=spec.cluster.supports.host_names,
    )


def company(spec: Spec) -> CompanyCa:
    """Return the company's CA for nodes and pods; minikube gives it to its nodes itself."""
    return CompanyCa(spec.network.ca if spec.cluster.supports.node_image else "none")


def proxied(spec: Spec, names: Names, engine: Engine, nodes: Nodes, environ: Mapping[str, str]) -> Proxied:
    chosen = spec.network.proxy
    if chosen == "auto":
        proxies = proxy_settings.of_environment(environ)
    else:
        proxies = Proxies(chosen.http or "", chosen.https or "", chosen.no_proxy)
    return Proxied(engine=engine, nodes=nodes, names=names, domain=spec.domain, proxies=proxies)
