"""What keeps containers from running is told in a line each, with whether waiting helps and what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.kube.pods import Outlook, faults

SINCE, TIME = datetime(2026, 1, 1, tzinfo=UTC), "%Y-%m-%dT%H:%M:%SZ"
FROZEN = "error setting cgroup config for procHooks process: unable to freeze"
UNFOUND = (
    "failed to create shim task: OCI runtime create failed: unable to start container process: "
    'error during container init: exec: "httpd": executable file not found in $PATH: unknown'
)
ROOT = "container has runAsNonRoot and image will run as root"
UNSERVED = 'Head "https://localhost:5001/v2/a/manifests/1": dial tcp 127.0.0.1:5001: connect: connection refused'


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, reason: str, message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def pod(state: dict[str, Any], last: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    status = {"name": "app", "state": state, "lastState": last or {}, **more}
    return {"status": {"containerStatuses": [status]}}


def crashed(code: int, reason: str, restarts: int, message: str = "") -> dict[str, Any]:
    return pod(waiting("CrashLoopBackOff", "back-off 20s"), ended(code, reason, message), restartCount=restarts)


def placed(seconds: int | None, found: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The pod with a sandbox, whose container ended some seconds later; with none for None."""
    since = {"type": "PodReadyToStartContainers", "status": str(seconds is not None)}
    since["lastTransitionTime"] = f"{SINCE:{TIME}}"
    status = found["status"]["containerStatuses"][0]
    for end in (status["state"].get("terminated"), status["lastState"].get("terminated")):
        if end:
            end["finishedAt"] = f"{SINCE + timedelta(seconds=seconds or 0):{TIME}}"
    return found | {"status": {**found["status"], **more, "conditions": [since]}}


@pytest.mark.fault(64)
@pytest.mark.parametrize(
    ("found", "waited", "said", "outlook", "fix"),
    [
        (crashed(128, "StartError", 1, UNFOUND), 0, 'restarted once: exec: "httpd"', Outlook.NONE, "correct `command`"),
        (pod(ended(128, "StartError", FROZEN), restartCount=1), 0, FROZEN, Outlook.OPEN, ""),
        (crashed(137, "OOMKilled", 3), 40, "OOMKilled, exit code 137, restarted 3", Outlook.POOR, "limits.memory"),
        (crashed(0, "Completed", 2), 40, "Completed, exit code 0, restarted 2 times", Outlook.OPEN, ""),
        (crashed(1, "Error", 5), 200, "CrashLoopBackOff, exit code 1, restarted 5 times", Outlook.NONE, ""),
        (pod(waiting("CreateContainerConfigError", "x")), 31, "ConfigError: x", Outlook.POOR, ""),
        (pod(waiting("CreateContainerConfigError", ROOT)), 0, ROOT, Outlook.NONE, ""),
        (pod(waiting("ErrImagePull", UNSERVED)), 21, UNSERVED, Outlook.NONE, ""),
        (pod(waiting("ErrImagePull", UNSERVED.replace("127.0.0.1", "10.0.0.1"))), 60, "refused", Outlook.OPEN, ""),
        (pod(waiting("CreateContainerConfigError", "x")), 29, "ConfigError: x", Outlook.OPEN, ""),
        (pod(waiting("ImagePullBackOff", "x:1: not found")), 19, "x:1: not found", Outlook.OPEN, ""),
        (pod(waiting("ImagePullBackOff", "x:1: not found")), 21, "x:1: not found", Outlook.NONE, ""),
        (pod(waiting("InvalidImageName", "no")), 0, "InvalidImageName: no", Outlook.NONE, ""),
        # Crashed by itself, and waits for its next start.
        (pod(ended(1, "Error"), restartCount=5), 0, "exit code 1, restarted 5 times", Outlook.NONE, ""),
        (pod(waiting("RunContainerError", "too many open files")), 0, "too many", Outlook.NONE, "max_user_instances"),
    ],
)
def test_fault_is_reported_with_its_outlook_and_fix(
    found: dict[str, Any], waited: float, said: str, outlook: Outlook, fix: str
) -> None:
    """A container that cannot start, each way → its reason, its exit code, and what to do."""
    fault = next(iter(faults(found)))
    assert said in str(fault)
    assert fault.outlook(waited) is outlook
    assert fix in fault.fix and bool(fault.fix) is bool(fix)


def test_init_container_failures_count_and_normal_waiting_not() -> None:
    states = {"app": waiting("PodInitializing"), "side": waiting("ErrImagePull"), "fine": {"running": {}}}
    status = {
        "initContainerStatuses": [{"name": "init", "state": waiting("CrashLoopBackOff", "back-off 10s")}],
        "containerStatuses": [{"name": name, "state": state} for name, state in states.items()],
    }
    lines = ["container init: CrashLoopBackOff: back-off 10s", "container side: ErrImagePull"]
    assert list(map(str, faults({"status": status}))) == lines
    assert list(faults({})) == []


@pytest.mark.parametrize(
    ("found", "count"),
    [
        (pod({"running": {}}, ended(1, "Error"), restartCount=1, ready=True), 0),
        # Stopped with its node, and started again or not yet.
        (placed(-9, pod({"running": {}}, ended(1, "Error"), restartCount=3, ready=False)), 0),
        (placed(None, pod(ended(137, "Error"), restartCount=74)), 0),
        (pod(ended(0, "Completed")), 0),
        (pod(waiting("ContainerCreating")), 0),
        (placed(None, pod(ended(137, "Error")), phase="Failed"), 1),  # it was evicted
        (placed(0, pod(ended(143, "Error"))), 1),  # by its liveness probe
    ],
)
def test_container_has_a_fault_unless_it_recovered_or_ended_with_its_node(found: dict[str, Any], count: int) -> None:
    assert len(list(faults(found))) == count


@pytest.mark.parametrize(("seconds", "outlook"), [(28, Outlook.OPEN), (148, Outlook.POOR), (150, Outlook.NONE)])
def test_restarts_with_the_node_are_no_crashes(seconds: int, outlook: Outlook) -> None:
    found = placed(seconds, pod(ended(1, "Error"), restartCount=9))
    assert [fault.outlook(200) for fault in faults(found)] == [outlook]
