"""Makes the provider that the spec names, and finds the nodes of a sandbox of which only the name is known.

Each provider is imported where it is chosen: `list` needs no more than nodes.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox.config.capabilities import CAPABILITIES
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.names import INGRESS_SERVICE, Names
from sandbox.plan import saved_spec

if TYPE_CHECKING:
    from sandbox.bundle.system_images import OwnImages
    from sandbox.components.cluster.company_ca import CompanyCa
    from sandbox.components.cluster.dns import Dns
    from sandbox.components.cluster.docker_nodes import DockerNodes
    from sandbox.components.cluster.kind.cluster_config import Tags
    from sandbox.components.cluster.kind.command import Kind
    from sandbox.components.cluster.pod_proxy import Proxied
    from sandbox.components.network.proxy_settings import Proxies
    from sandbox.config.schema import Spec
    from sandbox.config.schema.cluster_schema import Cluster
    from sandbox.provider import Nodes, Provider
    from sandbox.system.resolvers import Upstream


def provider(spec: Spec, names: Names, engine: Engine, own: OwnImages, environ: Mapping[str, str]) -> Provider:
    return _MAKERS[spec.cluster.provider](spec, names, engine, own, environ)


def control_plane(names: Names) -> str | None:
    """Return the control plane's container by the spec of the last `up`; None for an existing cluster."""
    provider, profile = saved_spec.provider(names)
    if not all(can.containers for name, can in CAPABILITIES.items() if name == provider):
        return None
    return profile or names.cluster if provider == "minikube" else names.node


def namespace(names: Names) -> str | None:
    """Return the only namespace that the sandbox may use, by the spec of the last `up`; None for a whole cluster.

    Raises SandboxError.
    """
    if control_plane(names):
        return None
    spec = saved_spec.load(names)
    return spec.namespace if spec else None


def kubectl(names: Names) -> str:
    """Return how kubectl is called for the cluster; of an existing one, the user's kubeconfig gets no context."""
    if control_plane(names):
        return f"kubectl --context {names.cluster}"
    return f"kubectl --kubeconfig {shlex.quote(str(names.kubeconfig))}"


def nodes(engine: Engine, names: Names) -> DockerNodes:
    """Return the nodes of the cluster by the spec of the last `up`, whether or not they exist."""
    from sandbox.config.schema.cluster_schema import Cluster

    made = cluster(names) or Cluster()
    return _NODES.get(made.provider, _kind_nodes)(engine, names, made)


def cluster(names: Names) -> Cluster | None:
    """Return the cluster in the spec of the last `up`; None when there was none."""
    with contextlib.suppress(SandboxError):
        spec = saved_spec.load(names)
        return spec.cluster if spec else None
    return None


def require_tool(spec: Spec, names: Names) -> None:
    """Raise MissingTool or UsageError where the provider's tool is absent, too old or not usable."""
    if spec.cluster.supports.node_image:
        _kind_tool(names).require()
    else:
        from sandbox.components.cluster.minikube import provider as minikube_provider
        from sandbox.components.cluster.minikube.command import Minikube

        profile = spec.cluster.profile
        minikube_provider.require(Minikube.find(profile or names.cluster), adopted=profile is not None)


def _kind_tool(names: Names) -> Kind:
    from sandbox.bundle import released_tools
    from sandbox.bundle.store import Store
    from sandbox.components.cluster.kind.command import Kind

    return Kind.of(released_tools.find("kind", Store(names.home.bundle)), names.network)


def _kind(spec: Spec, names: Names, engine: Engine, own: OwnImages, environ: Mapping[str, str]) -> Provider:
    from sandbox.components.cluster.kind import provider as kind_provider

    program = replace(
        _kind_tool(names),
        podman=engine.address if engine.is_podman else "",
        balancer=own.references["balancer"] if spec.cluster.nodes.control_plane > 1 else "",
    )
    return kind_provider.KindProvider(
        engine=engine,
        names=names,
        kind=program,
        shape=spec.cluster,
        image=own.references["node"],
        tags=_tags(own),
        nameservers=upstream(spec).servers,
        search=spec.network.search,
        proxied=proxied(spec, names, engine, kind_provider.nodes(engine, names), environ),
        company=company(spec),
        dns=dns(spec, names, engine, names.network),
        kubernetes=own.kubernetes,
    )


def _minikube(spec: Spec, names: Names, engine: Engine, own: OwnImages, environ: Mapping[str, str]) -> Provider:
    from sandbox.components.cluster.minikube import provider as minikube_provider
    from sandbox.components.cluster.minikube.command import Minikube

    adopted = spec.cluster.profile
    tool = Minikube.find(adopted or names.cluster)
    return minikube_provider.MinikubeProvider(
        engine=engine,
        names=names,
        minikube=tool,
        adopted=adopted is not None,
        kubernetes=spec.cluster.kubernetes,
        proxied=proxied(spec, names, engine, minikube_provider.nodes(engine, tool.profile), environ),
        loaded=own.source == "bundle",
    )


def _kind_nodes(engine: Engine, names: Names, made: Cluster) -> DockerNodes:
    from sandbox.components.cluster.kind import provider as kind_provider

    return kind_provider.nodes(engine, names, made.nodes)


def _minikube_nodes(engine: Engine, names: Names, made: Cluster) -> DockerNodes:
    from sandbox.components.cluster.minikube import provider as minikube_provider

    return minikube_provider.nodes(engine, made.profile or names.cluster)


_MAKERS: Mapping[str, Callable[[Spec, Names, Engine, OwnImages, Mapping[str, str]], Provider]] = {
    "kind": _kind,
    "minikube": _minikube,
}
_NODES = {"kind": _kind_nodes, "minikube": _minikube_nodes}


def upstream(spec: Spec) -> Upstream:
    from sandbox.system import resolvers

    chosen = spec.network.nameservers
    return resolvers.upstream() if chosen == "auto" else resolvers.Upstream(chosen)


def dns(spec: Spec, names: Names, engine: Engine, network: str) -> Dns:
    from sandbox.components.cluster.dns import Dns

    return Dns(
        engine=engine,
        names=names,
        network=network,
        domain=spec.domain,
        ingress=INGRESS_SERVICE if spec.ingress.controller != "none" else None,
        upstream=upstream(spec),
        hosts=spec.network.hosts,
        services={route.host: route.to.partition(":")[0] for route in spec.edge.tls},
        machine=spec.cluster.supports.host_names,
    )


def company(spec: Spec) -> CompanyCa:
    """Return the company's CA for nodes and pods; minikube gives it to its nodes itself."""
    from sandbox.components.cluster.company_ca import CompanyCa

    return CompanyCa(spec.network.ca if spec.cluster.supports.node_image else "none")


def proxied(spec: Spec, names: Names, engine: Engine, nodes: Nodes, environ: Mapping[str, str]) -> Proxied:
    from sandbox.components.cluster.pod_proxy import Proxied

    return Proxied(engine=engine, nodes=nodes, names=names, domain=spec.domain, proxies=_proxies(spec, environ))


def _proxies(spec: Spec, environ: Mapping[str, str]) -> Proxies:
    from sandbox.components.network import proxy_settings

    chosen = spec.network.proxy
    if chosen == "auto":
        return proxy_settings.of_environment(environ)
    return proxy_settings.Proxies(chosen.http or "", chosen.https or "", chosen.no_proxy)


def _tags(own: OwnImages) -> Tags | None:
    if own.source != "bundle":
        return None
    from sandbox.bundle.recipe import recipes
    from sandbox.components.cluster.kind.cluster_config import Tags

    return Tags(etcd=f"{recipes()['etcd'].version}-0", coredns=recipes()["coredns"].version)
