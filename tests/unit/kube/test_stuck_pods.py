"""Which pods of a StatefulSet's earlier revision are deleted, so that Kubernetes makes new ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from sandbox.kube import stuck_pods
from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.stuck_pods import REVISION
from sandbox.kube.workload_status import pods_of
from sandbox.names import Names
from tests.support.api_server import ApiServer


class OnePerName:
    def __init__(self, *pods: dict[str, Any]) -> None:
        self.pods = pods
        self.deleted: list[str] = []
        self.refuses = False

    def list(self, version: str, kind: str, namespace: str, *, selector: str) -> list[dict[str, Any]]:
        assert selector == "app=db"
        return list(self.pods)

    def delete(self, version: str, kind: str, name: str, namespace: str) -> None:
        if self.refuses:
            raise ClusterError("pods is forbidden", status=403)
        self.deleted.append(name)


def pod(name: str, revision: str = "old", *, ready: bool = False, seconds: float = 60) -> dict[str, Any]:
    since = (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": since}
    metadata = {"name": name, "labels": {"controller-revision-hash": revision}}
    return {"metadata": metadata, "status": {"conditions": [condition]}}


def stateful_set(*, replicas: int = 3, updated: int = 0, generation: int = 2, **spec: Any) -> dict[str, Any]:
    counts = {"replicas": replicas, "updatedReplicas": updated, "updateRevision": "new", "observedGeneration": 2}
    return {
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "ns", "generation": generation},
        "spec": {"selector": {"matchLabels": {"app": "db"}}, **spec},
        "status": counts,
    }


def replaced(live: dict[str, Any], *pods: dict[str, Any]) -> list[str]:
    cluster = OnePerName(*pods)
    stuck_pods.replace(cast("Cluster", cluster), live, lambda said: None)
    return cluster.deleted


def test_pod_of_an_earlier_revision_is_deleted_once_it_has_not_been_ready_for_long() -> None:
    leaving = pod("db-3")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    pods = (pod("db-0", ready=True), pod("db-1"), pod("db-2", "new"), leaving, pod("db-4", seconds=20))
    assert replaced(stateful_set(replicas=5, updated=1), *pods) == ["db-1"]


@pytest.mark.parametrize(
    "live",
    [
        stateful_set(updated=3),
        stateful_set(generation=3),
        stateful_set(updateStrategy={"type": "OnDelete"}),
        stateful_set(updateStrategy={"rollingUpdate": {"partition": 1}}),
        {**stateful_set(), "kind": "Deployment"},
    ],
    ids=["current", "not yet seen", "OnDelete", "below the partition", "Deployment"],
)
def test_broken_pod_is_left_where_no_update_waits_for_it(live: dict[str, Any]) -> None:
    assert replaced(live, pod("db-0")) == []


def test_refused_deletion_names_the_command() -> None:
    cluster = OnePerName(pod("db-0"))
    cluster.refuses = True
    with pytest.raises(ClusterError) as refused:
        stuck_pods.replace(cast("Cluster", cluster), stateful_set(replicas=1), lambda said: None)
    assert refused.value.fix == "kubectl --namespace ns delete pod db-0, then sandbox up"


def test_pods_of_a_statefulset_that_went_back_are_those_of_its_update_revision(server: ApiServer, names: Names) -> None:
    labels = {"app": "db"}
    live = {
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "default", "generation": 3},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}},
        "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 1, "updateRevision": "db-b"},
    }
    for name, revision, created in (("db-0", "db-b", "2026-01-01T00:00:00Z"), ("db-1", "db-c", "2026-01-01T00:01:00Z")):
        metadata = {"name": name, "labels": {**labels, REVISION: revision}, "creationTimestamp": created}
        server.objects[f"/api/v1/namespaces/default/pods/{name}"] = {"kind": "Pod", "metadata": metadata}
    pods = pods_of(Cluster(names.kubeconfig), live, "default")
    assert [pod["metadata"]["name"] for pod in pods] == ["db-0"]
