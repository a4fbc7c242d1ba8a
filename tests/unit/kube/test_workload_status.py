"""What a workload lacks to be ready, from the status that the API server gives."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.kube.api import ClusterError
from sandbox.kube.workload_status import progress


def live(kind: str, spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "x", "generation": 2}, "spec": spec or {}, "status": status}


def on_nodes(**pod: Any) -> dict[str, Any]:
    return {"template": {"spec": pod}}


SEEN: dict[str, Any] = {"observedGeneration": 2}
BY_HAND: dict[str, Any] = {"updateStrategy": {"type": "OnDelete"}}
FROM_2_ON: dict[str, Any] = {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}}


@pytest.mark.parametrize(
    ("found", "lacks"),
    [
        (live("Deployment", observedGeneration=1, readyReplicas=1), "not yet seen by its controller"),
        (live("Deployment", **SEEN), "0 of 1 pods ready"),
        (live("Deployment", {"replicas": 3}, **SEEN, readyReplicas=3, updatedReplicas=1), "1 of 3 pods ready"),
        (live("Deployment", {"replicas": 0}, **SEEN), None),
        (live("StatefulSet", **SEEN, readyReplicas=1, updatedReplicas=1), None),
        (live("DaemonSet", **SEEN, desiredNumberScheduled=2, numberReady=1), "0 of 2 pods ready"),
        (live("DaemonSet", **SEEN), "0 of 1 pods ready"),
        (live("DaemonSet", on_nodes(nodeSelector={"kubernetes.io/os": "windows"}), **SEEN), None),
        (live("DaemonSet", on_nodes(affinity={"nodeAffinity": {"x": {}}}), **SEEN), None),
        (live("DaemonSet", BY_HAND, **SEEN, desiredNumberScheduled=2, numberReady=2), None),
        (live("StatefulSet", {"replicas": 2} | BY_HAND, **SEEN, replicas=2, readyReplicas=2), None),
        (live("StatefulSet", FROM_2_ON, **SEEN, replicas=3, readyReplicas=3, updatedReplicas=1), None),
        (live("Deployment", {"replicas": 2, "paused": True}, **SEEN, replicas=2, readyReplicas=2), None),
        (live("Pod"), "not scheduled"),
        (live("Pod", phase="Running", conditions=[{"type": "Ready", "status": "False"}]), "Running"),
        (live("Pod", phase="Running", conditions=[{"type": "Ready", "status": "True"}]), None),
        (live("Pod", phase="Succeeded"), None),
        (live("Job"), "running"),
        (live("Job", {"completions": 2}, succeeded=2), None),
        (live("Job", {"completions": 2}, succeeded=1, conditions=[{"type": "Complete", "status": "True"}]), None),
        (live("Job", {"suspend": True}), None),
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
