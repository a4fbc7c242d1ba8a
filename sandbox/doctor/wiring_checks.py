"""Checks that the running components reach each other: registry, node and edge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from sandbox.components.cluster import dns
from sandbox.components.cluster.docker_nodes import KUBELET
from sandbox.components.cluster.existing.tenant import SandboxNamespace
from sandbox.components.edge import edge_folder as edge_files
from sandbox.components.edge import routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.ingress import unserved
from sandbox.components.registry import in_cluster_step
from sandbox.components.registry.external_step import require_answer
from sandbox.doctor.check import Check, Finding, error, ok, skipped, warn, with_engine
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.engine import Engine, labelled
from sandbox.kube import node_status
from sandbox.kube.api import Cluster, ClusterError, Manifest, ServerAway
from sandbox.plan import providers, registry_steps
from sandbox.quantities import count
from sandbox.step import State

# Of an autoscaler whose cluster has no server of metrics (kubernetes, pkg/controller/podautoscaler/metrics/client.go).
NO_METRICS = "from resource metrics API: the server could not find the requested resource"


def registry(context: DoctorContext) -> Finding:
    external = context.spec.registry.external
    contained = context.spec.cluster.supports.containers and not external
    if contained and (trouble := _not_running(_engine(context), context.names.registry)):
        return trouble
    if not external and routes.registry_of(context.home.edge, context.names.name) is None:
        return skipped("the edge does not serve its port; sandbox up starts it")  # another sandbox's may answer there
    require_answer(context.spec.registry.push_url)
    return ok(f"{context.spec.registry.address} answers")


def node(context: DoctorContext) -> Finding:
    if context.spec.namespace:
        return _inner(context, context.spec.namespace)
    engine = _engine(context)
    registry = context.spec.registry
    nodes = providers.nodes(engine, context.names)
    for name in (nodes.control_plane, *(() if registry.external else (context.names.registry,))):
        trouble = _not_running(engine, name)
        if trouble:
            return trouble
    parts = dict.fromkeys((*nodes.every(), *(one.name for one in nodes.all())))  # and the balancer of control planes
    stopped = [name for name in parts if not ((found := engine.container(name)) and found.running)]
    if stopped:
        return error(f"not running: {', '.join(stopped)}")
    if idle := [name for name in nodes.running() if nodes.execute(name, KUBELET)[0]]:
        return error(f"the kubelet is stopped in {', '.join(idle)}")
    if context.names.kubeconfig.exists() and (unready := "; ".join(_unready(context, nodes.running()))):
        return error(unready)
    wired = registry_steps.wiring(engine, nodes, context.names, registry).check()
    return ok(wired.detail) if wired.state is State.READY else error(f"not configured as in the spec: {wired.detail}")


def _unready(context: DoctorContext, nodes: Sequence[str]) -> Sequence[str]:
    with suppress(ClusterError):  # other checks say so
        return tuple(node_status.unready(context.cluster, nodes))
    return ()


def dns_pods(context: DoctorContext) -> Finding:
    if not context.spec.cluster.supports.whole_cluster:
        return skipped("an existing cluster has its own")
    if not context.names.kubeconfig.exists():
        return skipped("there is no sandbox yet; sandbox up creates it")
    try:
        live = context.cluster.get("apps/v1", "Deployment", dns.NAME, dns.NAMESPACE)
    except ServerAway as away:
        return skipped(f"{away.brief}, so it is not known")
    if live is None:
        return error(f"the Deployment {dns.NAMESPACE}/{dns.NAME} is gone")
    ready = (live.get("status") or {}).get("readyReplicas") or 0
    return ok(f"{count(ready, 'pod')} ready") if ready else error(f"{dns.NAMESPACE}/{dns.NAME} has no ready pod")


def _inner(context: DoctorContext, namespace: str) -> Finding:
    if context.spec.registry.external:
        return skipped("nodes pull from an external registry")
    if not context.names.kubeconfig.exists():
        return skipped("there is no sandbox yet; sandbox up creates it")
    found = in_cluster_step.recorded(SandboxNamespace(context.names, namespace))
    return ok(found.detail) if found.state is State.READY else error(f"not tested: {found.detail or found.state.value}")


def network(context: DoctorContext) -> Finding:
    if not context.spec.cluster.supports.containers:
        return skipped("an existing cluster has its own networks")
    engine = with_engine(context).engine
    nodes = providers.nodes(engine, context.names)
    found = labelled.containers(engine, context.home, context.names.name)
    if engine.container(nodes.control_plane) is None:
        return skipped(f"there is no container {nodes.control_plane}; sandbox up creates it")
    if engine.network(nodes.network) is None:
        return error(f"the network {nodes.network} does not exist")
    outside = [one.name for one in nodes.outside()]
    inside = (one for one in found if one.running)
    outside += [one.name for one in inside if nodes.network not in one.addresses]
    return error(f"not on {nodes.network}: {', '.join(outside)}") if outside else ok(f"all are on {nodes.network}")


def _engine(context: DoctorContext) -> Engine:
    engine = with_engine(context).engine
    labelled.require(engine, context.names)
    return engine


def edge(context: DoctorContext) -> Finding:
    engine = with_engine(context).engine
    box = EdgeContainer.of(engine, context.home)
    trouble = _not_running(engine, box.name)
    if trouble:
        return trouble
    mine = routes.find(routes.load(context.home.edge), context.names.name)
    if mine is None:
        return skipped(f"the edge has no route for {context.names.name}; sandbox up creates it")
    if not edge_files.is_current(context.home.edge, box.place):
        return error("its configuration does not have the current routes")
    if outside := box.missing():
        return error(f"{box.name} is not on the network {', '.join(outside)}")
    return ok(f"*.{mine.domain} is routed to {', '.join(mine.nodes)}")


def ingresses(context: DoctorContext) -> Finding:
    if context.spec.ingress.controller != "traefik":
        return skipped("the ingress controller is not the sandbox's Traefik")
    if not context.names.kubeconfig.exists():
        return skipped("there is no sandbox yet; sandbox up creates it")
    try:
        found = Cluster(context.names.kubeconfig).list("networking.k8s.io/v1", "Ingress", context.spec.namespace)
    except ServerAway as away:
        return skipped(f"{away.brief}, so they are not known")
    noted = list(unserved.notes_of(context.spec, found))
    return warn("; ".join(noted)) if noted else ok(f"{len(found)} served as they say")


def autoscalers(context: DoctorContext) -> Finding:
    if not context.names.kubeconfig.exists():
        return skipped("there is no sandbox yet; sandbox up creates it")
    try:
        found = context.cluster.list("autoscaling/v2", "HorizontalPodAutoscaler", context.spec.namespace)
    except ClusterError as refused:  # in an existing cluster, the account need not have the right
        return skipped(f"{refused.brief}, so they are not known")
    idle = {place: message for one in found for place, message in _inactive(one)}
    if not idle:
        return ok(f"{len(found)} have their metrics")
    fix = "sandbox addons enable metrics-server{which}" if any(NO_METRICS in one for one in idle.values()) else ""
    return warn("; ".join(f"{place} does not scale: {message}" for place, message in idle.items()), fix)


def _inactive(autoscaler: Manifest) -> Iterator[tuple[str, str]]:
    metadata = autoscaler["metadata"]
    for one in (autoscaler.get("status") or {}).get("conditions") or ():
        works = one["status"] != "False" or one["type"] not in ("AbleToScale", "ScalingActive")
        if not (works or one.get("reason") == "ScalingDisabled"):
            yield f"{metadata['namespace']}/{metadata['name']}", " ".join(str(one.get("message", "")).split())
            return


def _not_running(engine: Engine, name: str) -> Finding | None:
    container = engine.container(name)
    if container is None:
        return skipped(f"there is no container {name}; sandbox up creates it")
    if container.running:
        return None
    return error(f"{name} is paused" if container.paused else f"{name} does not run; why: docker logs {name}")


CHECKS = (
    Check("wiring.network", "nodes and registry are on the sandbox's network", "sandbox up{which}", network),
    Check("wiring.registry", "the registry answers", "sandbox up{which}", registry),
    Check(
        "wiring.node",
        "all nodes run and are ready, and they, tools and pods find the registry",
        "sandbox up{which}",
        node,
    ),
    Check("wiring.dns", "the cluster's DNS has a ready pod", "sandbox up{which}", dns_pods),
    Check(
        "wiring.ingresses",
        "what Ingresses ask for has an effect",
        "change them as docs/ingress-annotations.md says, then sandbox up{which}",
        ingresses,
    ),
    Check(
        "wiring.autoscalers",
        "HorizontalPodAutoscalers have what they scale by",
        "give the containers requests of what it scales by, and see: kubectl describe hpa -A",
        autoscalers,
    ),
    Check("wiring.edge", "the edge routes the sandbox's hosts to its node", "sandbox up{which}", edge),
)
