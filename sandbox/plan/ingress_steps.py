"""The ingress of a sandbox: the controller, the page for unknown hosts, and the final check that hosts answer."""

from __future__ import annotations

from pathlib import Path

from sandbox.bundle.recipe import recipes
from sandbox.components.ingress import deep_hosts
from sandbox.components.ingress.deep_hosts import DeepHosts
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.components.ingress.page import Page, PageStep
from sandbox.components.ingress.steps import IngressStep, NoIngressStep
from sandbox.components.ingress.traefik import Traefik, page
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import DEFAULT_TLS, DOMAIN_TLS
from sandbox.plan import certificates_steps, cluster_steps, edge_steps
from sandbox.plan.site import ClusterSite
from sandbox.step import Step


def controller(site: ClusterSite) -> list[Step]:
    spec, images, supports = site.spec, site.own.references, site.spec.cluster.supports
    if spec.ingress.controller == "none":
        return [NoIngressStep(site.names)]
    traefik = Traefik(
        image=images["traefik"],
        busybox=images["busybox"],
        page=_page(site),
        domain_secret=None if spec.certs.default else DOMAIN_TLS,
        gateway_files=_gateway_files(site) if spec.ingress.gateway_api else None,
        classes=spec.ingress.classes,
        only_node=site.nodes.control_plane if supports.api_on_nodes and spec.cluster.nodes.total == 1 else "",
    )
    return [
        IngressStep(
            engine=site.engine,
            network=site.nodes.network,
            names=site.names,
            controller=traefik,
            requires=(certificates_steps.default(spec),),
            # When minikube's ingress is disabled, its class, which has the same name, is deleted too.
            after=("node-images", "minikube-disused"),
            grows=spec.cluster.nodes.total > 1,
        )
    ]


def proof(site: ClusterSite) -> list[Step]:
    spec, names = site.spec, site.names
    if spec.ingress.controller == "none":
        return []
    brought = ("charts", "apply") if cluster_steps.has_charts(site) else ("apply",)
    provided = certificates_steps.provided(spec)
    issued = certificates_steps.issued(spec)
    deep = None
    if deep_hosts.are_certified(spec):
        secret = next(each for each in issued if each.secret == DOMAIN_TLS)
        routes = spec.ingress.gateway_api
        deep = DeepHosts(keystore=site.keystore, domain=spec.domain, secret=secret, routes=routes)
    https = HttpsStep(
        names=names,
        domain=spec.domain,
        binds=site.binds,
        secret=DOMAIN_TLS if spec.ingress.controller == "traefik" and not provided else DEFAULT_TLS,
        requires=("edge", "ingress", *brought),
        root=provided.cert if provided else None,
        ways=spec.cluster.nodes.total,
        secrets=issued,
        deep=deep,
    )
    return [PageStep(_page(site), lambda: Cluster(names.kubeconfig)), https]


def _page(site: ClusterSite) -> Page:
    return page(site.spec.name, port=site.spec.edge.ports[0], elsewhere=edge_steps.with_added(site).leaving)


def _gateway_files(site: ClusterSite) -> Path:
    if site.own.source == "upstream":
        return site.home.manifests
    store, recipe = site.store, recipes()["gateway-api"]
    if not store.has(recipe):
        raise SandboxError("the bundle lacks the Gateway API", fix="sandbox bundle build", id="no-bundle")
    return store.files(recipe)
