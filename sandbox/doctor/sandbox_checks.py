"""Checks of the sandbox: its certificates, parts that reach each other, leftovers, rights in an existing cluster."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from sandbox.components.certificates.facts import CertificateState, describe
from sandbox.components.certificates.keystore import LEAF, Keystore, inventory
from sandbox.components.certificates.user_certificate import refusal
from sandbox.components.cluster import kubeconfig
from sandbox.components.cluster.docker_nodes import KUBELET
from sandbox.components.cluster.existing.tenant import SandboxNamespace
from sandbox.components.edge import routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.registry import in_cluster_step
from sandbox.components.registry.external_step import require_answer
from sandbox.doctor.check import WIDTH, Check, DoctorContext, Finding, error, ok, skipped, warn
from sandbox.engine import Engine, labelled
from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.workload_status import unready_nodes
from sandbox.names import LABEL
from sandbox.plan import providers, registry_steps
from sandbox.quantities import count
from sandbox.step import State
from sandbox.system import files

DEFAULT = "default"
NO_SANDBOX = "there is no sandbox yet; sandbox up creates it"
RENEW_ROOT = "sandbox certs renew{which} --root, then sandbox certs trust{which}"
RENEW_AUTHORITY = "sandbox certs renew{which} --authority"
CHANGE = ("get", "list", "create", "patch", "delete")
# What a sandbox makes there, by group of the API, as in the Role of docs/existing.md.
NEEDS = {
    "": ("configmaps", "secrets", "services", "serviceaccounts", "pods"),
    "apps": ("deployments",),
    "networking.k8s.io": ("ingresses",),
    "rbac.authorization.k8s.io": ("roles", "rolebindings"),
}
QUESTIONS = (
    *((group, name, verb) for group, names in NEEDS.items() for name in names for verb in CHANGE),
    ("", "pods/portforward", "create"),
    ("networking.k8s.io", "ingresses", "watch"),
    ("discovery.k8s.io", "endpointslices", "watch"),
)


def valid(context: DoctorContext) -> Finding:
    keystore, domains = Keystore(context.names.keys), context.spec.vouched
    root = keystore.inspect_root(domains, now=context.now)
    if root.state is CertificateState.ABSENT:
        return skipped("sandbox up creates them")
    issuing = keystore.inspect_issuing(domains, now=context.now)
    leaves = [entry for entry in inventory(keystore, now=context.now) if entry.role == LEAF]
    conditions = [("root", root, root.advice(RENEW_ROOT)), ("issuing CA", issuing, RENEW_AUTHORITY)]
    conditions += [(leaf.name, leaf.condition, "") for leaf in leaves]
    for name, condition, fix in conditions:
        if not condition.usable:
            return error(f"{name}: {condition.reason}", fix)
    for name, condition, fix in conditions:
        if condition.reason:
            return warn(f"{name}: {condition.reason}", fix)
    facts = describe(context.names.root_certificate.read_bytes(), now=context.now)
    days = [f"{leaf.name} {count(leaf.facts.days_left, 'day')}" for leaf in leaves if leaf.facts]
    lives = ", ".join([f"the root has {count(facts.days_left, 'day')} left", *days])
    return ok(f"{lives}; limited to {', '.join(facts.permitted)}")


def trusted(context: DoctorContext) -> Finding:
    leaf = Keystore(context.names.keys).leaf_files(DEFAULT)
    if not leaf.has_cert:
        return skipped("sandbox up creates the root")
    if reason := refusal(leaf.cert, leaf.key, context.spec.domain):
        return warn(f"the system's trust store does not have the root ({reason}); clients work with --cacert")
    return ok("programs that use the system's trust store accept the sandbox's certificates")


def network(context: DoctorContext) -> Finding:
    if not context.spec.cluster.supports.containers:
        return skipped("an existing cluster has its own networks")
    engine = context.engine
    nodes = providers.nodes(engine, context.names)
    if engine.container(nodes.control_plane) is None:
        return skipped(f"there is no container {nodes.control_plane}; sandbox up creates it")
    if engine.network(nodes.network) is None:
        return error(f"the network {nodes.network} does not exist")
    outside = [node.name for node in nodes.outside()]
    for container in labelled.containers(engine, context.home, context.names.name):
        if container.running and nodes.network not in container.addresses:
            outside.append(container.name)
    return error(f"not on {nodes.network}: {', '.join(outside)}") if outside else ok(f"all are on {nodes.network}")


def registry(context: DoctorContext) -> Finding:
    external = context.spec.registry.external
    if context.spec.cluster.supports.containers and not external:
        labelled.require(context.engine, context.names)
        if trouble := _not_running(context.engine, context.names.registry):
            return trouble
    if not external and routes.registry_of(context.home.edge, context.names.name) is None:
        return skipped("the edge does not serve its port; sandbox up starts it")  # another sandbox's may answer there
    require_answer(context.spec.registry.push_url)
    return ok(f"{context.spec.registry.address} answers")


def node(context: DoctorContext) -> Finding:
    if context.spec.namespace:
        return _tenant(context, context.spec.namespace)
    engine, registry = context.engine, context.spec.registry
    labelled.require(engine, context.names)
    nodes = providers.nodes(engine, context.names)
    for name in (nodes.control_plane, *(() if registry.external else (context.names.registry,))):
        if trouble := _not_running(engine, name):
            return trouble
    # Also the balancer of several control planes.
    parts = dict.fromkeys((*nodes.every(), *(container.name for container in nodes.all())))
    stopped = [name for name in parts if not ((container := engine.container(name)) and container.running)]
    if stopped:
        return error(f"not running: {', '.join(stopped)}")
    if idle := [name for name in nodes.running() if nodes.engine.execute(name, KUBELET)[0]]:
        return error(f"the kubelet is stopped in {', '.join(idle)}")
    if context.names.kubeconfig.exists():
        with suppress(ClusterError):  # other checks report it
            if unready := "; ".join(unready_nodes(context.cluster, nodes.running())):
                return error(unready)
    wired = registry_steps.wiring(engine, nodes, context.names, registry).check()
    return ok(wired.detail) if wired.state is State.READY else error(f"not configured as in the spec: {wired.detail}")


def _tenant(context: DoctorContext, namespace: str) -> Finding:
    if context.spec.registry.external:
        return skipped("nodes pull from an external registry")
    if not context.names.kubeconfig.exists():
        return skipped(NO_SANDBOX)
    record = in_cluster_step.recorded(SandboxNamespace(context.names, namespace))
    if record.state is State.READY:
        return ok(record.detail)
    return error(f"not tested: {record.detail or record.state.value}")


def edge(context: DoctorContext) -> Finding:
    container = EdgeContainer.of(context.engine, context.home)
    if trouble := _not_running(context.engine, container.name):
        return trouble
    route = routes.find(routes.load(context.home.edge), context.names.name)
    if route is None:
        return skipped(f"the edge has no route for {context.names.name}; sandbox up creates it")
    if not container.is_current():
        return error("its configuration does not have the current routes")
    if networks := container.missing():
        return error(f"{container.name} is not on the network {', '.join(networks)}")
    return ok(f"*.{route.domain} is routed to {', '.join(route.nodes)}")


def _not_running(engine: Engine, name: str) -> Finding | None:
    container = engine.container(name)
    if container is None:
        return skipped(f"there is no container {name}; sandbox up creates it")
    if container.running:
        return None
    return error(f"{name} is paused" if container.paused else f"{name} does not run; why: docker logs {name}")


def leftovers(context: DoctorContext) -> Finding:
    engine, home = context.engine, context.home
    sandboxes = _sandboxes(context)
    ours = labelled.containers(engine, home)
    orphans = {box.name: box.labels[LABEL] for box in ours if box.labels[LABEL] not in {"", *sandboxes}}
    shared = sorted(box.name for box in ours if not box.labels[LABEL])
    idle = shared if shared and not routes.load(home.edge) else []
    volumes = {}
    for name, labels in engine.labelled_volumes(LABEL).items():
        names = home.sandbox(labels[LABEL])
        if labelled.is_ours(labels, home) and not names.keys.exists() and not engine.container(names.registry):
            volumes[name] = names.name
    networks = _unused_networks(context)
    if leftover := (*orphans, *idle, *volumes, *networks):
        data = set(volumes.values())
        fixes = [f"sandbox down {name} --purge" for name in sorted(data)]
        fixes += [f"sandbox down {name}" for name in sorted(set(orphans.values()) - data)]
        fixes += [f"docker rm -f {' '.join(idle)}"] if idle else []
        fixes += [f"docker network rm {' '.join(networks)}"] if networks else []
        return warn(f"of no sandbox: {', '.join(leftover)}", "\n".join(fixes))
    others = len(engine.containers(LABEL)) - len(ours)
    also = f"; {others} belong to other users, and stay" if others else ""
    return ok(f"{count(len(ours), 'container')}, each of a sandbox{also}")


def remove_networks(context: DoctorContext) -> None:
    for name in _unused_networks(context):
        context.engine.remove_network(name)  # the engine refuses one that a container has joined meanwhile


def _unused_networks(context: DoctorContext) -> list[str]:
    engine, sandboxes = context.engine, _sandboxes(context)
    networks = filter(None, map(engine.network, engine.labelled_networks(LABEL)))
    return [
        network.name
        for network in networks
        if not network.members
        and labelled.is_ours(network, context.home)
        and network.labels[LABEL] not in sandboxes
        and not engine.container(network.name)
    ]


def _sandboxes(context: DoctorContext) -> set[str]:
    home = context.home
    return {names.name for names in home.known()} | {route.name for route in routes.load(home.edge)}


def rights(context: DoctorContext) -> Finding:
    home, name = context.home, str(context.spec.namespace)
    # There may be no sandbox yet: the user's own kubeconfig.
    paths = (home.kubeconfig, *home.other_kubeconfigs)
    content = kubeconfig.single_context(paths, str(context.spec.cluster.context), name)
    # A program that logs in runs in the kubeconfig's folder, also when the login is renewed: it has to stay.
    files.make_private_dir(home.state)
    path = home.state / f"doctor-{os.getpid()}.kubeconfig"
    files.write_atomic(path, content, mode=0o600)
    try:
        cluster = Cluster(path)
    finally:
        path.unlink()
    readable = any(cluster.may("get", "", "namespaces", place, name) for place in (None, name))
    if readable and not cluster.get("v1", "Namespace", name):
        if cluster.may("create", "", "namespaces", None):
            return ok(f"{name} does not exist, and you may create it")
        return error(f"{name} does not exist, and you may not create it", "name another namespace, or ask for it")
    with ThreadPoolExecutor(WIDTH) as pool:
        allowed = pool.map(lambda question: cluster.may(question[2], question[0], question[1], name), QUESTIONS)
    missing = [f"{verb} {resource}" for (_, resource, verb), may in zip(QUESTIONS, allowed, strict=True) if not may]
    return error(f"in {name} you may not: {', '.join(missing)}") if missing else ok(f"you have the rights in {name}")


CHECKS = (
    Check(
        "certificates.valid", "root, issuing CA and server certificates are usable", "sandbox certs renew{which}", valid
    ),
    Check("certificates.trusted", "this machine trusts the sandbox's root", "sandbox certs trust{which}", trusted),
    Check("wiring.network", "nodes and registry are on the sandbox's network", "sandbox up{which}", network),
    Check("wiring.registry", "the registry answers", "sandbox up{which}", registry),
    Check(
        "wiring.node",
        "all nodes run and are ready, and they, tools and pods find the registry",
        "sandbox up{which}",
        node,
    ),
    Check("wiring.edge", "the edge routes the sandbox's hosts to its node", "sandbox up{which}", edge),
    Check(
        "leftovers.objects",
        "every container, network and volume belongs to a sandbox",
        "sandbox down NAME --purge",
        leftovers,
        remove_networks,
    ),
)
RIGHTS = Check(
    "rights.namespace",
    "you have the rights that a sandbox needs in the namespace",
    "ask for the Role of docs/existing.md; without some: `registry.external`, `ingress.controller: none`",
    rights,
)
