"""What the page says of clusters that a command is about to change, and of pods that do and do not run."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.dashboard.sandbox_state import pod_state, standing
from sandbox.system.sandbox_lock import Holder


@pytest.mark.parametrize(
    ("command", "absent", "running", "said"),
    [
        (None, True, False, "absent"),
        (None, False, True, "running"),
        (None, False, False, "stopped"),
        ("sandbox start demo", False, True, "starting"),
        ("sandbox up -f sandbox.yaml", True, False, "starting"),
        ("sandbox.up", True, False, "absent"),
        ("Sandbox.up", True, False, "starting"),
        ("sandbox snapshot restore a", False, True, "starting"),
        ("sandbox stop demo", False, True, "stopping"),
        ("sandbox -v up", True, False, "starting"),
        ("sandbox stop dev", False, True, "stopping"),
        ("sandbox down up", False, True, "running"),
        ("sandbox down", False, True, "running"),
        ("sandbox certs renew", False, True, "running"),
    ],
)
def test_cluster_is_as_the_command_at_work_leaves_it(
    command: str | None, absent: bool, running: bool, said: str
) -> None:
    holder = Holder.this(command) if command else None
    assert standing(absent=absent, running=running, holder=holder) == said


def pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    spec = {"nodeName": "node", "initContainers": [{"image": "a:1"}], "containers": [{"name": "web", "image": "b:1"}]}
    return {"metadata": {"name": "web", "namespace": "shop", **metadata}, "spec": spec, "status": status}


def test_pod_is_ready_broken_pending_done_or_ending() -> None:
    ready = {"phase": "Running", "containerStatuses": [{"name": "web", "ready": True, "restartCount": 2}]}
    crash = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    broken = {"containerStatuses": [{"name": "web", "ready": False, "restartCount": 3, "state": crash}]}
    said = pod_state(pod(ready))
    assert said == {
        "name": "shop/web",
        "state": "ready",
        "detail": "",
        "restarts": 2,
        "images": ["a:1", "b:1"],
        "node": "node",
    }
    assert pod_state(pod(broken))["state"] == "broken"
    assert "CrashLoopBackOff, restarted 3 times" in pod_state(pod(broken))["detail"]
    assert pod_state(pod({"phase": "Pending"}))["state"] == "pending"
    assert pod_state(pod({"phase": "Succeeded"}))["state"] == "done"
    assert pod_state(pod(ready, deletionTimestamp="2026-11-27T03:00:00Z"))["state"] == "ending"
