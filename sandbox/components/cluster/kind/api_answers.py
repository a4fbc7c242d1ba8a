"""Waits for an API server to be ready, and for kubelets to report their pods after a start of the nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path

from sandbox.components.cluster.kind.worker_join import ADMIN
from sandbox.engine import Engine
from sandbox.kube.api import Cluster, ClusterError, Manifest, title
from sandbox.kube.pod_faults import placed_since
from sandbox.kube.workload_status import is_ready
from sandbox.system.wait import WaitTimeout, wait_until

NEWS = 30.0  # seconds, after which others find out what is wrong with the pods
MIRROR = "kubernetes.io/config.mirror"
WORKLOADS = ("DaemonSet", "ReplicaSet", "StatefulSet", "Deployment")


def silence(engine: Engine, control_plane: str) -> str | None:
    """Return why the API server is not ready, or None."""
    status, output = engine.execute(control_plane, ["kubectl", *ADMIN, "get", "--raw=/readyz"])
    return None if status == 0 else output.strip()


def await_news(kubeconfig: Path, since: Mapping[str, datetime]) -> None:
    """Wait until the API server has been told how all pods are `since` their nodes were started.

    Until then it tells how they were before, and all of them would seem to be ready.
    """
    whole = {node: moment.replace(microsecond=0) for node, moment in since.items()}  # as pods have them
    with suppress(WaitTimeout):
        wait_until(partial(old_news, Cluster(kubeconfig), whole), what="the pods", timeout=NEWS)


def old_news(cluster: Cluster, since: Mapping[str, datetime]) -> str | None:
    """Return an object that is not told of yet, or None.

    That is a pod with a sandbox or a container that is said to be from before its node was started: the kubelet tells
    of it. Static pods are left out, for it may tell of them ten seconds later. Or it is a workload with more ready pods
    than are ready: the controller manager tells of it, which starts later.
    """
    if not since:
        return None
    try:
        pods = [pod for pod in cluster.list("v1", "Pod") if MIRROR not in pod["metadata"].get("annotations", {})]
        for pod in pods:
            begun, status = since.get(pod["spec"].get("nodeName", "")), pod.get("status", {})
            running = (container["state"].get("running") or {} for container in status.get("containerStatuses") or ())
            times = filter(None, [placed_since(pod), *(state.get("startedAt") for state in running)])
            if begun and any(datetime.fromisoformat(time) < begun for time in times):
                return title(pod)
        workloads = {kind: cluster.list("apps/v1", kind) for kind in WORKLOADS}  # told later, so not asked for sooner
    except ClusterError as error:  # the API server has not read its roles yet
        return str(error)
    ready = Counter(_controller(pod) for pod in pods if is_ready(pod))
    for each in workloads["ReplicaSet"]:
        ready[_controller(each)] += ready[each["metadata"]["uid"]]
    for each in chain.from_iterable(workloads.values()):
        status = each.get("status", {})
        if (status.get("numberReady") or status.get("readyReplicas") or 0) > ready[each["metadata"]["uid"]]:
            return title(each)
    return None


def _controller(manifest: Manifest) -> str:
    """Return the uid of the object that made this one; empty when there is none."""
    owners = manifest["metadata"].get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")
