"""What a workload lacks to be ready, from the status that the API server gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.readiness import attempt, progress, troubles
from tests.support.api_server import kubeconfig, serving

OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}
UNBOUND = 'failed calling webhook "validate.nginx.ingress.kubernetes.io": dial tcp 10.110.13.77:443: connection refused'


def live(kind: str, spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "x", "generation": 2}, "spec": spec or {}, "status": status}


SEEN: dict[str, Any] = {"observedGeneration": 2}


@pytest.mark.parametrize(
    ("found", "lacks"),
    [
        (live("Deployment"), "not yet seen by its controller"),
        (
            live("Deployment", observedGeneration=1, readyReplicas=1, updatedReplicas=1),
            "not yet seen by its controller",
        ),
        (live("Deployment", **SEEN), "0 of 1 pods ready"),
        (live("Deployment", {"replicas": 3}, **SEEN, readyReplicas=3, updatedReplicas=1), "1 of 3 pods ready"),
        (live("Deployment", {"replicas": 3}, **SEEN, readyReplicas=2, updatedReplicas=3), "2 of 3 pods ready"),
        (live("Deployment", {"replicas": 3}, **SEEN, readyReplicas=3, updatedReplicas=3), None),
        (live("Deployment", {"replicas": 0}, **SEEN), None),
        (live("StatefulSet", {"replicas": 2}, **SEEN, readyReplicas=1, updatedReplicas=2), "1 of 2 pods ready"),
        (live("StatefulSet", **SEEN, readyReplicas=1, updatedReplicas=1), None),
        (live("DaemonSet", **SEEN, desiredNumberScheduled=2, numberReady=2, updatedNumberScheduled=2), None),
        (
            live("DaemonSet", **SEEN, desiredNumberScheduled=2, numberReady=1, updatedNumberScheduled=2),
            "1 of 2 pods ready",
        ),
        (live("DaemonSet", **SEEN), "0 of 1 pods ready"),
        (live("Pod"), "not scheduled"),
        (live("Pod", phase="Pending"), "Pending"),
        (live("Pod", phase="Running", conditions=[{"type": "Ready", "status": "False"}]), "Running"),
        (live("Pod", phase="Running", conditions=[{"type": "Ready", "status": "True"}]), None),
        (live("Pod", phase="Succeeded"), None),
        (live("Job"), "running"),
        (live("Job", {"completions": 2}, succeeded=1), "running"),
        (live("Job", {"completions": 2}, succeeded=2), None),
    ],
)
def test_progress(found: dict[str, Any], lacks: str | None) -> None:
    assert progress(found) == lacks


@pytest.mark.fault(64)
@pytest.mark.parametrize(
    "found",
    [live("Job", conditions=[{"type": "Failed", "status": "True"}]), live("Pod", phase="Failed", message="oom")],
)
def test_failed_workload_is_not_waited_for(found: dict[str, Any]) -> None:
    """A Job or a rollout that has failed → told at once, not waited for."""
    with pytest.raises(ClusterError, match=f"{found['kind']} x failed"):
        progress(found)


def container(name: str, reason: str, message: str | None = None) -> dict[str, Any]:
    waiting = {"reason": reason} | ({"message": message} if message else {})
    return {"name": name, "state": {"waiting": waiting}}


def test_init_container_failures_count_and_normal_waiting_not() -> None:
    pod = {
        "status": {
            "initContainerStatuses": [container("init", "CrashLoopBackOff", "back-off 10s")],
            "containerStatuses": [
                container("app", "PodInitializing"),
                container("side", "ErrImagePull"),
                {"name": "fine", "state": {"running": {}}},
            ],
        }
    }
    assert list(troubles(pod)) == [("init", "CrashLoopBackOff", "back-off 10s"), ("side", "ErrImagePull", "")]
    assert list(troubles({})) == []


def test_a_pod_that_is_being_replaced_does_not_count() -> None:
    status = {"observedGeneration": 2, "replicas": 2, "readyReplicas": 1, "updatedReplicas": 1}
    live = {"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": status}
    assert progress(live) == "1 of the pods before are still there"
    assert progress({**live, "status": {**status, "replicas": 1}}) is None


@pytest.mark.parametrize(
    ("status", "message", "early"),
    [
        (500, UNBOUND, True),
        (403, "error looking up service account default/default: serviceaccount not found", True),
        (500, 'conversion webhook for example.com/v1, Kind=Widget failed: Post "https://x": EOF', True),
        (404, "the server could not find the requested resource", True),
        (400, 'admission webhook "validate.nginx.ingress.kubernetes.io" denied the request: host is taken', False),
        (403, "configmaps is forbidden", False),
    ],
)
def test_premature_request_is_distinguished_from_a_refusal(
    tmp_path: Path, status: int, message: str, early: bool
) -> None:
    with serving() as server:
        kubeconfig(tmp_path / "config", server.server_address[1])
        cluster = Cluster(tmp_path / "config")
        server.refusal = (status, json.dumps({"kind": "Status", "message": message}).encode())
        if early:
            assert attempt(cluster, OBJECT) == message
        else:
            with pytest.raises(ClusterError, match="applying ConfigMap default/a failed"):
                attempt(cluster, OBJECT)
        server.refusal = None
        assert attempt(cluster, OBJECT) is None
