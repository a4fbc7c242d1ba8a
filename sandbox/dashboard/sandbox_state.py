"""The content of the dashboard; each part of it fails alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from sandbox.app.edge import edge_state
from sandbox.app.running import project_workloads
from sandbox.components.certificates.keystore import Entry, Keystore, inventory
from sandbox.components.edge import lan_access, routes
from sandbox.components.edge.route import Route
from sandbox.components.ingress.served_hosts import hosts_of
from sandbox.components.ingress.unserved import foreign_class
from sandbox.engine import Container, Engine, labelled
from sandbox.errors import SandboxError
from sandbox.images.registry_content import catalogue
from sandbox.kube.api import Cluster
from sandbox.kube.deletion import is_leaving
from sandbox.kube.pod_faults import faults
from sandbox.kube.pod_images import containers_in
from sandbox.kube.workload_status import unschedulable
from sandbox.names import LABEL, REGISTRY_PORT, Home, Names
from sandbox.oci.client import Client
from sandbox.plan import saved_spec
from sandbox.step import Status, Step
from sandbox.system.sandbox_lock import Holder

EVENTS = 30  # the newest; a cluster keeps them for an hour
SHOWN = 200  # characters of an event's message, or of a pod's
PODS = 200  # those with a fault first
# Commands that bring a sandbox up: while one runs, what runs may not be ready yet.
STARTING = ("up", "start", "restore", "dev")
WIDTH = 8

Part = Mapping[str, Any]
Survey = Callable[[], Iterable[tuple[Step, Status]]]


def sandboxes(home: Home, engine: Engine, surveys: Mapping[str, Survey], *, now: datetime) -> Sequence[Part]:
    """Return every sandbox that has a container or a route, by name; steps only of those whose spec is in `surveys`."""
    known = {route.name: route for route in routes.load(home.edge)}
    ours = labelled.containers(engine, home)
    names = sorted({one.labels[LABEL] for one in ours if one.labels[LABEL]} | known.keys() | surveys.keys())
    with ThreadPoolExecutor(WIDTH) as pool:
        looked = [
            pool.submit(_sandbox, home.sandbox(name), known.get(name), engine, surveys.get(name), now) for name in names
        ]
        return [one.result() for one in looked]


def registries(home: Home, engine: Engine) -> Mapping[str, Part]:
    ours = {one.labels[LABEL]: one for one in labelled.containers(engine, home)}
    found = {name: engine.container(home.sandbox(name).registry) for name in ours if name}
    return {name: attempt(partial(_registry, one)) for name, one in found.items() if one}


def edge(home: Home, engine: Engine) -> Part:
    state = edge_state.read(home, engine)
    return {"running": state.running, "routes": [asdict(one) for one in state.routes]}


def attempt(read: Callable[[], Part]) -> Part:
    """Return the part, or why it cannot be shown."""
    try:
        return read()
    except (SandboxError, OSError) as error:
        return {"error": str(error)}


def _sandbox(names: Names, route: Route | None, engine: Engine, survey: Survey | None, now: datetime) -> Part:
    called = saved_spec.control_plane(names)
    node = engine.container(called) if called else None
    entries = inventory(Keystore(names.keys), now=now)
    holder = Holder.read(names.home.lock(names.name))
    cluster = _state(node, holder) if called else "existing"
    row: dict[str, Any] = {
        "name": names.name,
        "domain": route.domain if route else "",
        "cluster": cluster,
        "busy": holder.command if holder else "",
        "kubectl": saved_spec.kubectl(names),
        "certificates": [_certificate(one) for one in entries],
    }
    is_asked = cluster == "existing" or (node is not None and node.running)
    nothing: Part = {"hosts": [], "pods": [], "events": []}
    row |= attempt(lambda: _inside(names, route, entries)) if is_asked else nothing
    if survey and cluster != "paused":  # asking it would wake it
        row |= attempt(lambda: {"steps": [_step(*one) for one in survey()]})
    return row


def _state(node: Container | None, holder: Holder | None) -> str:
    if node and node.paused:
        return "paused"
    return standing(absent=node is None, running=node is not None and node.running, holder=holder)


def standing(*, absent: bool, running: bool, holder: Holder | None) -> str:
    """Return the state of a cluster: that of its node, unless a running command is about to change it."""
    words = (holder.command if holder else "").replace("Sandbox.", "sandbox ", 1).split()[1:]
    at_work = [word for word in words if not word.startswith("-")]
    doing = " ".join(at_work[1:2] if at_work[:1] == ["snapshot"] else at_work[:1])
    if doing in STARTING:
        return "starting"
    if running and doing == "stop":
        return "stopping"
    return "absent" if absent else "running" if running else "stopped"


def _inside(names: Names, route: Route | None, entries: Sequence[Entry]) -> Part:
    """Return what the cluster itself reports; of an existing one, only the sandbox's namespace may be read."""
    cluster, namespace = Cluster(names.kubeconfig), saved_spec.namespace(names)
    port = route.listen[0][1] if route and route.listen else 443
    ingresses = cluster.list("networking.k8s.io/v1", "Ingress", namespace)
    lost = {} if namespace else _unserved(ingresses, cluster.list("networking.k8s.io/v1", "IngressClass"))
    events = sorted(cluster.list("v1", "Event", namespace), key=_when, reverse=True)[:EVENTS]
    found = map(pod_state, cluster.list("v1", "Pod", namespace))
    pods = sorted(found, key=lambda one: (one["state"] == "ready", one["name"]))
    return {
        "hosts": [
            {
                "host": one,
                "url": lan_access.url(one, port),
                "days_left": _days(one, entries),
                "unserved": lost.get(one, ""),
            }
            for one in hosts_of(ingresses)
        ],
        "pods": pods[:PODS],
        "events": [_event(one) for one in events],
    }


def _unserved(ingresses: Iterable[Mapping[str, Any]], classes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    names = [one["metadata"]["name"] for one in classes]
    foreign = ((one, found) for one in ingresses if (found := foreign_class(one, names)))
    return {host: f"no controller here serves the class {found}" for one, found in foreign for host in hosts_of([one])}


def pod_state(pod: Mapping[str, Any]) -> Part:
    """Return a pod's state in words: whether it is ready, and if not, why."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    found = [*map(str, faults(pod)), *(f"no node takes it: {one}" for one in unschedulable(pod))]
    statuses = status.get("containerStatuses") or ()
    phase = str(status.get("phase", "Unknown"))
    if is_leaving(pod):
        state = "ending"
    elif found or phase == "Failed":
        state = "broken"
    elif phase == "Succeeded":
        state = "done"
    else:
        state = "ready" if statuses and all(one.get("ready") for one in statuses) else "pending"
    return {
        "name": f"{metadata['namespace']}/{metadata['name']}",
        "workload": _workload(metadata),
        "state": state,
        "detail": "; ".join(found)[:SHOWN],
        "restarts": sum(one.get("restartCount", 0) for one in statuses),
        "images": [one["image"] for one in containers_in(spec, ("initContainers", "containers"))],
        "node": spec.get("nodeName", ""),
    }


def _workload(metadata: Mapping[str, Any]) -> str:
    """Return what `sandbox restart` takes for the pod: NAMESPACE/KIND/NAME; empty where no workload made it."""
    for owner in metadata.get("ownerReferences") or ():
        kind, name = str(owner.get("kind")), str(owner.get("name"))
        if kind == "ReplicaSet" and (version := (metadata.get("labels") or {}).get("pod-template-hash")):
            kind, name = "Deployment", name.removesuffix(f"-{version}")
        if kind.lower() in project_workloads.KINDS:
            return f"{metadata['namespace']}/{kind.lower()}/{name}"
    return ""


def _step(step: Step, status: Status) -> Part:
    return {"title": step.title, "state": status.state.value, "detail": status.detail}


def _certificate(one: Entry) -> Part:
    facts = one.facts
    return {
        "name": one.name,
        "role": one.role,
        "state": one.condition.state.value,
        "days_left": facts.days_left if facts else None,
        "hosts": facts.hosts if facts else (),
        "file": str(one.file),
    }


def _days(host: str, entries: Sequence[Entry]) -> int | None:
    """Return the days that the certificate for the host has left: of the exact one, else of the wildcard's."""
    for wanted in (host, f"*.{host.partition('.')[2]}"):
        for one in entries:
            if one.facts and not one.facts.authority and wanted in one.facts.hosts:
                return one.facts.days_left
    return None


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
        "count": event.get("count") or 1,
    }


def _registry(container: Container) -> Part:
    bind = next(iter(container.published.get(REGISTRY_PORT, ())), None)
    if bind is None or not container.running:
        return {"error": f"{container.name} does not run"}
    where = f"localhost:{bind.port}"
    with Client(where) as client:
        found = catalogue(client)
    tags = [{"name": f"{one.repository}:{one.tag}", "digest": one.digest, "size": one.size} for one in found.tags]
    return {"where": where, "size": found.size, "tags": tags}
