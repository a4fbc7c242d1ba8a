"""What the dashboard shows, each part of which fails alone, and what it does: a pod's logs, and a restart."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sandbox.app import context, diagnosis, machine_plan
from sandbox.app.core import Sandbox
from sandbox.app.edge import edge_routes
from sandbox.app.running import project_workloads
from sandbox.app.session import Session, wake_paused
from sandbox.components.certificates.keystore import LEAF, Entry, Keystore, inventory
from sandbox.components.edge import lan_access, routes
from sandbox.components.edge.route import Route
from sandbox.components.ingress.served_hosts import hosts_of
from sandbox.dashboard.server import Dashboard
from sandbox.engine import Container, Engine, labelled
from sandbox.errors import SandboxError, UsageError
from sandbox.images.registry_content import catalogue
from sandbox.kube.api import Cluster
from sandbox.kube.deletion import is_leaving
from sandbox.kube.pods import container_statuses, containers_in, faults
from sandbox.kube.workload_status import unschedulable
from sandbox.names import LABEL, REGISTRY_PORT, Home, Names
from sandbox.oci.client import Client
from sandbox.plan import lifecycle, saved_spec
from sandbox.sanitize import fit
from sandbox.step import Status, Step
from sandbox.system.sandbox_lock import Holder

EVENTS = 30  # the newest; a cluster keeps them for an hour
SHOWN = 200  # characters of an event's message, or of a pod's
PODS = 200  # those with a fault first
WIDTH = 8
LINES = 200  # of the logs of each container
PATIENCE = 10.0  # seconds to wait for another command on the sandbox

Part = Mapping[str, Any]
Survey = Callable[[], Iterable[tuple[Step, Status]]]


def server(sandbox: Sandbox, *, port: int) -> Dashboard:
    """Return the server of the page. Raises SandboxError where the port is taken.

    Steps are shown of `sandbox` alone, whose spec is known.
    """
    home, engine = context.home(), Engine.connect()
    steps, _, _ = machine_plan.steps(sandbox.spec)
    surveys = {sandbox.name: partial(lifecycle.survey, steps)}
    parts = {
        "sandboxes": lambda: sandboxes(home, engine, surveys, now=datetime.now(UTC)),
        "edge": lambda: edge(home, engine),
        "registries": lambda: registries(home, engine),
        "doctor": lambda: list(map(asdict, diagnosis.rows(sandbox.spec, wake=False))),
    }
    return Dashboard(parts, {"logs": logs, "restart": restart}, port=port)


def logs(sandbox: str, pod: str) -> str:
    """Return the last lines of every container of a pod, named NAMESPACE/POD. Raises SandboxError."""
    names = _known(sandbox)
    wake_paused(names)
    cluster, only = Cluster(names.kubeconfig), saved_spec.namespace(names)
    namespace, _, name = pod.partition("/")
    live = cluster.get("v1", "Pod", name, namespace) if name and only in (None, namespace) else None
    if live is None:
        raise UsageError(f"there is no pod {pod} any more", id="no-workload")
    parts = []
    for container in (status["name"] for status in container_statuses(live)):
        text = cluster.log(name, namespace, lines=LINES, container=container)
        parts.append(f"── {container}\n{fit(text).rstrip() or 'no lines'}")
    return "\n\n".join(parts)


def restart(sandbox: str, workload: str) -> str:
    """Replace the pods of a workload, named [NAMESPACE/][KIND/]NAME, and wait until they are ready.

    Raises SandboxError.
    """
    names = _known(sandbox)
    with Session(command="sandbox dashboard", patience=PATIENCE).alone(sandbox, "restart"):
        cluster = Cluster(names.kubeconfig)
        meant = project_workloads.find(cluster, workload, saved_spec.namespace(names))
        project_workloads.restart(cluster, meant, lambda _: None)
    return f"{meant.title} was restarted and is ready"


def _known(sandbox: str) -> Names:
    for names in context.home().known():
        if names.name == sandbox and names.kubeconfig.exists():
            return names
    raise UsageError(f"there is no sandbox {sandbox!r}", id="no-sandbox")


def sandboxes(home: Home, engine: Engine, surveys: Mapping[str, Survey], *, now: datetime) -> Sequence[Part]:
    """Return every sandbox that has a container or a route, by name; steps only of those whose spec is in `surveys`."""
    by_name = {route.name: route for route in routes.load(home.edge)}
    own = {container.labels[LABEL] for container in labelled.containers(engine, home)}
    names = sorted(filter(None, own | by_name.keys() | surveys.keys()))
    with ThreadPoolExecutor(WIDTH) as pool:
        return list(
            pool.map(
                lambda name: _sandbox(home.sandbox(name), by_name.get(name), engine, surveys.get(name), now), names
            )
        )


def registries(home: Home, engine: Engine) -> Mapping[str, Part]:
    names = {container.labels[LABEL] for container in labelled.containers(engine, home)}
    containers = {name: engine.container(home.sandbox(name).registry) for name in names if name}
    return {name: attempt(partial(_registry, container)) for name, container in containers.items() if container}


def edge(home: Home, engine: Engine) -> Part:
    state = edge_routes.state(home, engine)
    return {"running": state.running, "routes": list(map(asdict, state.routes))}


def attempt(read: Callable[[], Part]) -> Part:
    """Return the part, or why it cannot be shown."""
    try:
        return read()
    except (SandboxError, OSError) as error:
        return {"error": str(error)}


def _sandbox(names: Names, route: Route | None, engine: Engine, survey: Survey | None, now: datetime) -> Part:
    node_name = saved_spec.control_plane(names)
    node = engine.container(node_name) if node_name else None
    entries = inventory(Keystore(names.keys), now=now)
    holder = Holder.read(names.home.lock(names.name))
    if node_name is None:
        cluster = "existing"
    elif node is None:
        cluster = "absent"
    elif node.paused:
        cluster = "paused"
    else:
        cluster = "running" if node.running else "stopped"
    row: dict[str, Any] = {
        "name": names.name,
        "domain": route.domain if route else "",
        "cluster": cluster,
        "busy": holder.command if holder else "",
        "kubectl": saved_spec.kubectl(names),
        "certificates": list(map(_certificate, entries)),
    }
    is_asked = cluster == "existing" or (node is not None and node.running)
    nothing: Part = {"hosts": [], "pods": [], "events": []}
    row |= attempt(lambda: _inside(names, route, entries)) if is_asked else nothing
    if survey and cluster != "paused":  # asking it would wake it
        row |= attempt(lambda: {"steps": [_step(step, status) for step, status in survey()]})
    return row


def _inside(names: Names, route: Route | None, entries: Sequence[Entry]) -> Part:
    cluster, namespace = Cluster(names.kubeconfig), saved_spec.namespace(names)
    port = route.listen[0][1] if route and route.listen else 443
    ingresses = cluster.list("networking.k8s.io/v1", "Ingress", namespace)
    events = sorted(cluster.list("v1", "Event", namespace), key=_when, reverse=True)[:EVENTS]
    pods = map(pod_state, cluster.list("v1", "Pod", namespace))
    hosts = [
        {"host": host, "url": lan_access.url(host, port), "days_left": _days(host, entries)}
        for host in hosts_of(ingresses)
    ]
    return {
        "hosts": hosts,
        "pods": sorted(pods, key=lambda pod: (pod["state"] == "ready", pod["name"]))[:PODS],
        "events": list(map(_event, events)),
    }


def pod_state(pod: Mapping[str, Any]) -> Part:
    """Return a pod's state in words: whether it is ready, and if not, why."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    reasons = [*map(str, faults(pod)), *(f"no node takes it: {reason}" for reason in unschedulable(pod))]
    statuses = status.get("containerStatuses") or ()
    phase = str(status.get("phase", "Unknown"))
    if is_leaving(pod):
        state = "ending"
    elif reasons or phase == "Failed":
        state = "broken"
    elif phase == "Succeeded":
        state = "done"
    else:
        state = "ready" if statuses and all(container.get("ready") for container in statuses) else "pending"
    return {
        "name": f"{metadata['namespace']}/{metadata['name']}",
        "workload": _workload(metadata),
        "state": state,
        "detail": "; ".join(reasons)[:SHOWN],
        "restarts": sum(container.get("restartCount", 0) for container in statuses),
        "images": [container["image"] for container in containers_in(spec, ("initContainers", "containers"))],
    }


def _workload(metadata: Mapping[str, Any]) -> str:
    for owner in metadata.get("ownerReferences") or ():
        kind, name = str(owner.get("kind")), str(owner.get("name"))
        if kind == "ReplicaSet" and (version := (metadata.get("labels") or {}).get("pod-template-hash")):
            kind, name = "Deployment", name.removesuffix(f"-{version}")
        if kind.lower() in project_workloads.KINDS:
            return f"{metadata['namespace']}/{kind.lower()}/{name}"
    return ""


def _step(step: Step, status: Status) -> Part:
    return {"title": step.title, "state": status.state.value, "detail": status.detail}


def _certificate(entry: Entry) -> Part:
    facts = entry.facts
    return {
        "name": entry.name,
        "role": entry.role,
        "state": entry.condition.state.value,
        "days_left": facts.days_left if facts else None,
        "hosts": facts.hosts if facts else (),
        "file": str(entry.file),
    }


def _days(host: str, entries: Sequence[Entry]) -> int | None:
    """Return the days that the certificate for the host has left: of the exact one, else of the wildcard's."""
    leaves = [entry.facts for entry in entries if entry.role == LEAF and entry.facts and entry.facts.covers(host)]
    leaves.sort(key=lambda facts: host not in facts.hosts)
    return leaves[0].days_left if leaves else None


def _when(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


def _event(event: Mapping[str, Any]) -> Part:
    about = event.get("involvedObject") or {}
    place = f"{about['namespace']}/" if about.get("namespace") else ""
    return {
        "time": _when(event),
        "type": event.get("type", ""),
        "reason": event.get("reason", ""),
        "object": f"{about.get('kind', '')} {place}{about.get('name', '')}",
        "message": str(event.get("message", ""))[:SHOWN],
    }


def _registry(container: Container) -> Part:
    bind = next(iter(container.published.get(REGISTRY_PORT, ())), None)
    if bind is None or not container.running:
        return {"error": f"{container.name} does not run"}
    where = f"localhost:{bind.port}"
    with Client(where) as client:
        content = catalogue(client)
    tags = [{"name": f"{tag.repository}:{tag.tag}", "digest": tag.digest, "size": tag.size} for tag in content.tags]
    return {"where": where, "size": content.size, "tags": tags}
