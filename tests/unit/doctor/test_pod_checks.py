"""A pod that does not run is explained by its containers, its node and its events."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.doctor.check import DoctorContext, Status
from sandbox.doctor.pod_checks import examine
from sandbox.errors import UsageError
from tests.support.api_server import ApiServer

PODS = "/api/v1/namespaces/shop/pods"


def place(server: ApiServer, name: str, status: dict[str, Any]) -> None:
    server.objects[f"{PODS}/{name}"] = {"metadata": {"name": name, "namespace": "shop"}, "status": status}


def warn(server: ApiServer, number: int, message: str, about: dict[str, str]) -> None:
    """Put a warning event about an object into the namespace."""
    server.objects[f"/api/v1/namespaces/shop/events/{number}"] = {
        "metadata": {"name": str(number), "namespace": "shop"},
        "type": "Warning",
        "reason": "Unhealthy",
        "message": message,
        "involvedObject": about,
    }


def test_crash_is_reported_with_exit_code_and_last_lines(context: DoctorContext, server: ApiServer) -> None:
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    last = {"terminated": {"exitCode": 3, "reason": "Error"}}
    one = {"name": "app", "state": state, "lastState": last, "restartCount": 4}
    place(server, "web-5d8-x", {"containerStatuses": [one]})
    (row,) = examine(context, "shop/web")
    assert (row.id, row.status) == ("pod.container", Status.ERROR)
    assert row.evidence.startswith(
        "shop/web-5d8-x, container app: CrashLoopBackOff, exit code 3, restarted 4 times; its last lines: last words"
    )
    assert row.fix == f"kubectl --context {context.names.cluster} -n shop logs web-5d8-x -c app --previous"


def test_image_that_cannot_be_pulled_has_no_logs_to_read(context: DoctorContext, server: ApiServer) -> None:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image nginx:9: not found"}}
    place(server, "web-5d8-x", {"containerStatuses": [{"name": "app", "state": state}]})
    (row,) = examine(context, "shop/web")
    assert (row.id, row.status) == ("pod.container", Status.ERROR)
    assert row.fix.startswith("correct its name, add it to images.yaml") and "images list -n demo" in row.fix


def test_events_and_nodes_are_asked(context: DoctorContext, server: ApiServer) -> None:
    refusal = {"status": "False", "reason": "Unschedulable", "message": "0/1: Insufficient cpu"}
    scheduled = {"type": "PodScheduled", **refusal}
    place(server, "big", {"phase": "Pending", "conditions": [scheduled]})
    place(server, "slow", {"phase": "Running"})
    for number in range(2):
        warn(server, number, "Readiness probe failed:\n500", {"name": "slow"})
    (row,) = examine(context, "big")
    assert row.id == "pod.node" and "no node takes it: 0/1: Insufficient cpu" in row.evidence
    assert row.fix == "change its requests, its selector or tolerations"
    claim = {**scheduled, "message": "0/1: pod has unbound immediate PersistentVolumeClaims"}
    place(server, "claiming", {"phase": "Pending", "conditions": [claim]})
    (row,) = examine(context, "claiming")
    assert row.fix.endswith(" describe pvc")
    (row,) = examine(context, "slow")
    assert (row.id, row.evidence) == ("pod.event", "shop/slow: Unhealthy: Readiness probe failed: 500")


@pytest.mark.parametrize("known", ["uid", "annotations"])
def test_events_of_an_earlier_pod_or_its_owner_are_left_out(
    context: DoctorContext, server: ApiServer, known: str
) -> None:
    place(server, "db-0", {"phase": "Pending"})
    own = "own" if known == "uid" else {"kubernetes.io/config.hash": "own"}
    server.objects[f"{PODS}/db-0"]["metadata"] |= {"uid": "other", known: own}
    about = {"own": "Pod", "earlier": "Pod", "workload": "StatefulSet"}
    for number, (uid, kind) in enumerate(about.items()):
        warn(server, number, uid, {"kind": kind, "name": "db-0", "uid": uid})
    assert [row.evidence for row in examine(context, "db-0")] == ["shop/db-0: Unhealthy: own"]


def test_pods_of_a_workload_with_a_longer_name_are_left_out(context: DoctorContext, server: ApiServer) -> None:
    for owner in ("web", "web-api"):
        place(server, f"{owner}-5d8-x", {"phase": "Pending"})
        server.objects[f"{PODS}/{owner}-5d8-x"]["metadata"] |= {
            "ownerReferences": [{"kind": "ReplicaSet", "name": f"{owner}-5d8", "controller": True}],
            "labels": {"pod-template-hash": "5d8"},
        }
    assert [row.evidence.partition(" ")[0] for row in examine(context, "web")] == ["shop/web-5d8-x"]
    assert [row.evidence.partition(" ")[0] for row in examine(context, "web-api-5d8")] == ["shop/web-api-5d8-x"]


def test_ready_pod_is_fine_and_an_unknown_one_is_refused(context: DoctorContext, server: ApiServer) -> None:
    place(server, "web-1", {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
    (row,) = examine(context, "web-1")
    assert (row.id, row.status) == ("pod.ready", Status.OK)
    with pytest.raises(UsageError, match="there is no pod shop/other") as caught:
        list(examine(context, "shop/other"))
    assert "shop/web-1" in caught.value.details
