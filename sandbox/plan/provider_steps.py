"""The kind of cluster that a spec asks for, ready to be made or removed."""

from __future__ import annotations

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import OwnImages
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.cluster.kind.command import Kind, Tags
from sandbox.components.cluster.kind.provider import KindProvider
from sandbox.components.cluster.minikube import provider as minikube_provider
from sandbox.components.cluster.minikube.command import Minikube
from sandbox.components.cluster.minikube.provider import MinikubeProvider
from sandbox.components.cluster.pod_proxy import Proxied
from sandbox.components.network import proxy_settings
from sandbox.components.network.proxy_settings import Proxies
from sandbox.config.schema import Spec
from sandbox.engine import Engine
from sandbox.names import Names
from sandbox.provider import Nodes, Provider
from sandbox.system import resolvers
from sandbox.system.resolvers import Upstream


def provider(spec: Spec, names: Names, engine: Engine, own: OwnImages) -> Provider:
    """What makes the cluster of the sandbox. Raises MissingTool."""
    make = _minikube if spec.cluster.provider == "minikube" else _kind
    return make(spec, names, engine, own)


def _kind(spec: Spec, names: Names, engine: Engine, own: OwnImages) -> KindProvider:
    program = Kind.find(names.network, extra=Store(names.home.bundle).program(recipes()["kind"], "kind").parent)
    servers, search = upstream(spec).servers, spec.network.search
    told = proxied(spec, names, engine, kind_provider.nodes(engine, names))
    return KindProvider(engine, names, program, spec.cluster, own.references["node"], _tags(own), servers, search, told)


def _minikube(spec: Spec, names: Names, engine: Engine, own: OwnImages) -> MinikubeProvider:
    adopted = spec.cluster.profile
    tool = Minikube.find(adopted or names.cluster)
    told = proxied(spec, names, engine, minikube_provider.nodes(engine, tool.profile))
    loaded = own.source == "bundle"
    return MinikubeProvider(engine, names, tool, adopted is not None, spec.cluster.kubernetes, told, loaded)


def upstream(spec: Spec) -> Upstream:
    """Whom pods ask for names of the outside."""
    chosen = spec.network.nameservers
    return resolvers.upstream() if chosen == "auto" else Upstream(chosen)


def proxied(spec: Spec, names: Names, engine: Engine, nodes: Nodes) -> Proxied:
    """What nodes and pods are told of the proxy to the outside, if there is one."""
    return Proxied(engine, nodes, names, spec.domain, _proxies(spec))


def _proxies(spec: Spec) -> Proxies:
    chosen = spec.network.proxy
    if chosen == "auto":
        return proxy_settings.of_environment()
    return Proxies(chosen.http or "", chosen.https or "", chosen.no_proxy)


def _tags(own: OwnImages) -> Tags | None:
    """The bundle's etcd and CoreDNS are newer than those that kubeadm would ask for."""
    if own.source != "bundle":
        return None
    return Tags(etcd=f"{recipes()['etcd'].version}-0", coredns=recipes()["coredns"].version)
