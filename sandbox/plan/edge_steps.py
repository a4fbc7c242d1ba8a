"""The ingress of a sandbox, and what connects this machine's ports with it and with Services."""

from collections.abc import Mapping
from pathlib import Path

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.components.edge import routes
from sandbox.components.edge.host_ports import Target
from sandbox.components.edge.lan_access import Access
from sandbox.components.edge.route import INGRESS, Forward, Host, Port, Route
from sandbox.components.edge.step import EdgeStep, ForwardedEdgeStep, PortsStep
from sandbox.components.ingress import deep_hosts
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.components.ingress.page import Page, PageStep
from sandbox.components.ingress.steps import IngressStep
from sandbox.components.ingress.traefik import Traefik, page
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import Bind
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import DEFAULT_TLS, DOMAIN_TLS, EDGE_LEAF, INGRESS_PORT, READY, SYSTEM_NAMESPACE, Names
from sandbox.plan import cluster_steps
from sandbox.plan.site import ClusterSite
from sandbox.step import Step
from sandbox.system.process import which


def edge(site: ClusterSite, lan: Access) -> Step:
    spec, names, image = site.spec, site.names, site.own.references["haproxy"]
    if spec.runs_process:
        # Every kind of cluster has an API server that is reached from here.
        ingress = Forward(INGRESS, "service/ingress", "443", SYSTEM_NAMESPACE, str(names.kubeconfig))
        return ForwardedEdgeStep(
            engine=site.engine,
            names=names,
            image=image,
            route=forwarded(spec, site.binds, (ingress, *forwards(names, spec))),
            kubectl=kubectl(site.store),
        )

    def ingresses() -> tuple[str, ...]:
        """Return where the ingress answers on each node; a controller that the user brings has port 443."""
        nodes = site.nodes.every()
        return nodes if spec.ingress.controller == "none" else tuple(f"{node}:{INGRESS_PORT}" for node in nodes)

    route = Route(
        spec.name,
        spec.domain,
        "",
        _listen(site.binds),
        hosts=_hosts(spec),
        aliases=lan.domains,
        network=site.nodes.network,
        proof=READY if spec.ingress.controller == "traefik" else "",
        address=site.binds[0].address,
        ports=ports(spec),
    )
    return EdgeStep(
        engine=site.engine,
        names=names,
        image=image,
        route=route,
        nodes=ingresses,
        grows=spec.cluster.nodes.total > 1,
    )


def forwarded(
    spec: ResolvedSpec, binds: tuple[Bind, ...], forwards: tuple[Forward, ...], *, upstream: str = ""
) -> Route:
    """Return the route by port-forwards; without one to an ingress, to `upstream`."""
    return Route(
        spec.name,
        spec.domain,
        upstream,
        _listen(binds),
        proxied=False,
        address=spec.edge.listen,
        forwards=forwards,
        ports=ports(spec),
    )


def _listen(binds: tuple[Bind, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((bind.address, bind.port) for bind in binds)


def _hosts(spec: Spec) -> tuple[Host, ...]:
    return tuple(Host(host.host, host.ends, host.to) for host in spec.edge.hosts)


def ports(spec: ResolvedSpec) -> tuple[Port, ...]:
    return (
        *(Port(port.port, port.target, port.proxy_protocol) for port in spec.edge.tcp),
        *(Port(spec.edge.ports[0], route.to, route.proxy_protocol, host=route.host) for route in spec.edge.tls),
    )


def forwards(names: Names, spec: ResolvedSpec, namespace: str | None = None) -> tuple[Forward, ...]:
    """Return the port-forwards to Services, all in the one `namespace` if there is one."""
    targets = {port.target: Target.parse(port.target) for port in spec.edge.tcp}
    return tuple(
        Forward(name, f"service/{to.service}", to.port, namespace or to.namespace, str(names.kubeconfig))
        for name, to in targets.items()
    )


def served_ports(site: ClusterSite) -> list[Step]:
    """Return the step for ports of Services; also needed to remove those of an earlier spec."""
    if site.spec.runs_process:
        return []
    route = routes.find(routes.load(site.home.edge), site.spec.name)
    if not ports(site.spec) and not (route and (route.every_port or route.node_ports)):
        return []
    return [PortsStep(site.engine, site.names, site.own.references["haproxy"])]


def leaf(site: ClusterSite, lan: Access) -> Mapping[str, tuple[str, ...]]:
    """Return the certificate for the hosts whose TLS ends at the edge, file name to hosts; empty without such hosts."""
    ending = with_added(site, aliases=lan.domains).ending
    return {EDGE_LEAF: ending} if ending else {}


def with_added(site: ClusterSite, *, aliases: tuple[str, ...] = ()) -> Route:
    """Return the spec's route, without nodes and ports, with what commands added to it."""
    route = Route(site.spec.name, site.spec.domain, "", (), hosts=_hosts(site.spec), aliases=aliases)
    return routes.with_added(site.home.edge, route)


def kubectl(store: Store) -> Path:
    """Return the kubectl on the PATH, else the bundle's program for all of Kubernetes."""
    return which("kubectl") or store.program(recipes()["kubernetes"], "kubernetes")


def ingress(site: ClusterSite) -> Step:
    spec, images, supports = site.spec, site.own.references, site.spec.cluster.supports
    issued = "issuer" if spec.certs.issuer == "cert-manager" else "secrets"
    traefik = None
    if spec.ingress.controller != "none":
        traefik = Traefik(
            image=images["traefik"],
            busybox=images["busybox"],
            page=_page(site),
            domain_secret=None if spec.certs.default else DOMAIN_TLS,
            gateway_files=_gateway_files(site) if spec.ingress.gateway_api else None,
            classes=spec.ingress.classes,
            only_node=site.nodes.control_plane if supports.node_image and spec.cluster.nodes.total == 1 else "",
        )
    return IngressStep(
        engine=site.engine,
        network=site.nodes.network,
        names=site.names,
        controller=traefik,
        requires=("provided" if spec.certs.default else issued,),
        # When minikube's ingress is disabled, its class, which has the same name, is deleted too.
        after=("node-images", "minikube-disused"),
        grows=spec.cluster.nodes.total > 1,
    )


def ingress_proof(site: ClusterSite) -> list[Step]:
    spec, names = site.spec, site.names
    if spec.ingress.controller == "none":
        return []
    brought = ("charts", "apply") if cluster_steps.has_charts(site) else ("apply",)
    provided = site.provided
    https = HttpsStep(
        names=names,
        domain=spec.domain,
        binds=site.binds,
        secret=DOMAIN_TLS if spec.ingress.controller == "traefik" and not provided else DEFAULT_TLS,
        requires=("edge", "ingress", *brought),
        root=provided.cert if provided else None,
        deep=deep_hosts.are_certified(spec),
    )
    return [PageStep(_page(site), lambda: Cluster(names.kubeconfig)), https]


def _page(site: ClusterSite) -> Page:
    return page(site.spec.name, port=site.spec.edge.ports[0], elsewhere=with_added(site).leaving)


def _gateway_files(site: ClusterSite) -> Path:
    if site.own.source == "upstream":
        return site.home.manifests
    store, recipe = site.store, recipes()["gateway-api"]
    if not store.has(recipe):
        raise SandboxError("the bundle lacks the Gateway API", fix="sandbox bundle build", id="no-bundle")
    return store.files(recipe)
