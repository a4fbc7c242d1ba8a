"""The workloads of a sandbox by the names that people use: `web`, `deployment/web`, `shop/web`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.app.dev.dev_report import Container, failed_lives, started_lives
from sandbox.app.session import wake_paused
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster, Manifest
from sandbox.kube.manifests import label_selector
from sandbox.kube.readiness import wait_ready
from sandbox.names import Names
from sandbox.plan import saved_spec
from sandbox.sanitize import fit

KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
SHORT = {"deploy": "deployment", "sts": "statefulset", "ds": "daemonset"}
# Namespaces of Kubernetes, of kind and of the sandbox itself.
SYSTEM = ("kube-", "sandbox-system", "local-path-storage", "metallb-system")
TIMEOUT = 300.0  # seconds until a restarted workload is ready
EVENTS = 30  # the newest
LAST = 10  # lines of a run that ended in an error


@dataclass(frozen=True)
class Workload:
    manifest: Manifest

    @property
    def namespace(self) -> str:
        return str(self.manifest["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def title(self) -> str:
        return f"{self.namespace}/{str(self.manifest['kind']).lower()}/{self.name}"

    def pods(self, cluster: Cluster) -> list[dict[str, Any]]:
        """Return its pods, the newest first. Raises ClusterError."""
        selector = label_selector((self.manifest["spec"].get("selector") or {}).get("matchLabels"))
        pods = cluster.list("v1", "Pod", self.namespace, selector=selector)
        return sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)


def cluster_of(names: Names) -> tuple[Cluster, str | None]:
    """Return a sandbox's cluster, awake, and the only namespace that it has there, or None for all.

    Raises UsageError if it is not up.
    """
    if not names.kubeconfig.exists():
        raise UsageError(f"the sandbox '{names.name}' is not up", fix=f"sandbox up -n {names.name}", id="not-up")
    wake_paused(names)
    return Cluster(names.kubeconfig), saved_spec.namespace(names)


def listed(cluster: Cluster, namespace: str | None) -> list[Workload]:
    """Return the workloads in `namespace`, or in all that are not the system's. Raises ClusterError."""
    workloads = [
        Workload({"kind": kind, "apiVersion": "apps/v1", **manifest})
        for kind in KINDS.values()
        for manifest in cluster.list("apps/v1", kind, namespace)
    ]
    return [workload for workload in workloads if namespace or not workload.namespace.startswith(SYSTEM)]


def find(cluster: Cluster, text: str, namespace: str | None) -> Workload:
    """Return the workload that `text` names: [NAMESPACE/][KIND/]NAME.

    `namespace`: the only one that the sandbox may use, or None. Raises UsageError for an unknown or an ambiguous name.
    """
    *prefixes, name = text.split("/")
    parts = [SHORT.get(part, part) for part in prefixes]
    kind = next((part for part in parts if part in KINDS), "")
    place = next((part for part in parts if part not in KINDS), namespace or "")
    workloads = listed(cluster, namespace)
    matching = [
        workload
        for workload in workloads
        if workload.name == name
        and (not place or workload.namespace == place)
        and (not kind or workload.manifest["kind"] == KINDS[kind])
    ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        titles = ", ".join(workload.title for workload in matching)
        raise UsageError(f"several workloads are called {text}", fix=f"name one of them: {titles}", id="no-workload")
    titles = ", ".join(workload.title for workload in workloads) or "none"
    raise UsageError(
        f"there is no workload {text}", details=f"the cluster has: {titles}", fix="name one of them", id="no-workload"
    )


def restart(cluster: Cluster, workload: Workload, say: Callable[[str], None]) -> None:
    """Replace its pods as `kubectl rollout restart` does, and wait until they are ready. Raises ClusterError."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}
    cluster.change(workload.manifest, {"spec": {"template": template}}, manager="sandbox-restart")
    live = cluster.live(workload.manifest)
    wait_ready(cluster, [live or workload.manifest], timeout=TIMEOUT, say=say)


def running_pod(cluster: Cluster, workload: Workload) -> dict[str, Any]:
    phases = [(pod, (pod.get("status") or {}).get("phase")) for pod in workload.pods(cluster)]
    for pod, phase in phases:
        if phase == "Running":
            return pod
    raise UsageError(
        f"no pod of {workload.title} runs",
        details=", ".join(f"{pod['metadata']['name']}: {phase}" for pod, phase in phases) or "no pods",
        fix=f"sandbox doctor pod {workload.namespace}/{workload.name}",
        id="no-workload",
    )


@dataclass(frozen=True)
class PodLogs:
    """The logs of `workload`, or of all pods outside the system's namespaces; `namespace` is the only usable one."""

    cluster: Cluster
    workload: Workload | None
    namespace: str | None

    def pods(self) -> list[dict[str, Any]]:
        if self.workload:
            return self.workload.pods(self.cluster)
        pods = self.cluster.list("v1", "Pod", self.namespace)
        return [pod for pod in pods if self.namespace or not pod["metadata"]["namespace"].startswith(SYSTEM)]

    def show(self, line: Callable[[Container, str], None], *, lines: int, since: int | None, previous: bool) -> int:
        """Pass the last `lines` of each container to `line`, of the last `since` seconds; return how many there were.

        `previous`: of the run before the last restart. Without it, a container that was restarted after an error also
        shows the last lines of the run that failed. Raises ClusterError.
        """
        count = 0
        for pod in self.pods():
            namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            failed = {container for _, container, _ in failed_lives(pod)}
            for _, container, restarts in started_lives(pod):
                runs = [(lines, previous)]
                if restarts and container in failed and not previous:
                    runs.insert(0, (min(LAST, lines), True))
                for most, before in runs:
                    text = self.cluster.log(
                        name, namespace, lines=most, container=container, previous=before, seconds=since
                    )
                    for each in text.splitlines():
                        line(Container(namespace, name, container), fit(each))
                        count += 1
        return count


def events(cluster: Cluster, workload: Workload) -> Iterator[str]:
    """Yield a line for each pod and container, and for each event, the newest last. Raises ClusterError."""
    pods = workload.pods(cluster)
    for pod in pods:
        status = pod.get("status") or {}
        yield f"pod {pod['metadata']['name']}: {status.get('phase', 'Pending')}"
        for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            state, more = next(iter((container.get("state") or {"waiting": {}}).items()))
            reason = " ".join(str(more[key]) for key in ("reason", "exitCode", "message") if more.get(key) is not None)
            ready = "ready" if container.get("ready") else "not ready"
            restarts = f", {container['restartCount']} restarts" if container.get("restartCount") else ""
            yield f"  container {container['name']}: {f'{state} {reason}'.strip()}, {ready}{restarts}"
    if not pods:
        yield "no pods"
    owners = {str(owner["uid"]) for pod in pods for owner in pod["metadata"].get("ownerReferences") or ()}
    uids = {str(workload.manifest["metadata"]["uid"]), *owners, *(str(pod["metadata"]["uid"]) for pod in pods)}
    dated = []
    for event in cluster.list("v1", "Event", workload.namespace):
        if (event.get("involvedObject") or {}).get("uid") in uids:
            created = event["metadata"].get("creationTimestamp", "")
            dated.append((str(event.get("lastTimestamp") or event.get("eventTime") or created), event))
    for date, event in sorted(dated, key=lambda pair: pair[0])[-EVENTS:]:
        times = f" ({event['count']} times)" if (event.get("count") or 1) > 1 else ""
        about = event["involvedObject"]
        message = " ".join(str(event.get("message", "")).split())
        yield f"{date} {about['kind']}/{about['name']} {event.get('reason', '')}: {message}{times}"
