"""Whether the API server of a control plane serves, and kubelets that ask and tell it as soon as it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path

from sandbox.components.cluster.kind.early_start import ASK
from sandbox.components.cluster.kind.worker_join import ADMIN, PORT
from sandbox.engine import Engine
from sandbox.kube.api import Cluster, ClusterError, Manifest, title
from sandbox.kube.pod_faults import placed_since
from sandbox.kube.workload_status import is_ready
from sandbox.system.wait import WaitTimeout, wait_until

TIMEOUT = 120.0  # seconds
NEWS = 30.0  # seconds, after which others find out what is wrong with the pods
MIRROR = "kubernetes.io/config.mirror"
WORKLOADS = ("DaemonSet", "ReplicaSet", "StatefulSet", "Deployment")


def refresh(engine: Engine, control_plane: str, started: Sequence[str]) -> None:
    """Have the kubelets of nodes that were started ask the API server as soon as it listens.

    One that was refused while the API server came waits twice as long after each time (client-go, tools/cache:
    Reflector), and starts no container before it has read all Services; one that is restarted asks at once.
    """
    if not started:
        return
    _await_serving(engine, control_plane)
    for node in started:
        engine.execute(node, ["systemctl", "try-restart", "kubelet"])


def deafness(engine: Engine, control_plane: str) -> str | None:
    """Return why the API server serves no client yet, or None; to ask it with kubectl would take its processor."""
    status, said = engine.execute(control_plane, ["bash", "-c", ASK, "ask", str(PORT)])
    return None if status == 0 else said.strip()


def _await_serving(engine: Engine, control_plane: str) -> None:
    wait_until(partial(deafness, engine, control_plane), what="the API server", timeout=TIMEOUT)


def silence(engine: Engine, control_plane: str) -> str | None:
    """Return why the API server is not ready, or None."""
    status, said = engine.execute(control_plane, ["kubectl", *ADMIN, "get", "--raw=/readyz"])
    return None if status == 0 else said.strip()


def await_news(
    engine: Engine,
    control_plane: str,
    kubeconfig: Path,
    since: Mapping[str, datetime],
    living: Collection[str] = (),
) -> None:
    """Wait until the API server has been told how all pods are `since` their nodes were started.

    Those with the uids `living` went on.

    Until then it tells how they were before, and all of them would seem to be ready. Raises WaitTimeout for one that
    does not serve.
    """
    whole = {node: moment.replace(microsecond=0) for node, moment in since.items()}  # as pods have them

    def is_told() -> bool:
        with suppress(ClusterError, WaitTimeout):
            wait_until(partial(old_news, Cluster(kubeconfig), whole, living), what="the pods", timeout=NEWS)
            return True
        return False

    if not is_told() and deafness(engine, control_plane) is not None:  # a slow machine's is still to come
        _await_serving(engine, control_plane)
        is_told()


def old_news(cluster: Cluster, since: Mapping[str, datetime], living: Collection[str] = ()) -> str | None:
    """Return an object that is not told of yet, or None.

    That is a pod with a sandbox or a container that is said to be from before its node was started: the kubelet tells
    of it. Static pods are left out, for it may tell of them ten seconds later. Or it is a workload with more ready pods
    than are ready: the controller manager tells of it, which starts later.
    """
    if not since:
        return None
    try:
        pods = [one for one in cluster.list("v1", "Pod") if MIRROR not in one["metadata"].get("annotations", {})]
        for pod in (one for one in pods if one["metadata"].get("uid") not in living):
            begun, status = since.get(pod["spec"].get("nodeName", "")), pod.get("status", {})
            running = (one["state"].get("running") or {} for one in status.get("containerStatuses") or ())
            times = filter(None, [placed_since(pod), *(one.get("startedAt") for one in running)])
            if begun and any(datetime.fromisoformat(one) < begun for one in times):
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


def _controller(found: Manifest) -> str:
    """Return the uid of the object that made this one; empty when there is none."""
    owners = found["metadata"].get("ownerReferences") or ()
    return next((str(one["uid"]) for one in owners if one.get("controller")), "")
