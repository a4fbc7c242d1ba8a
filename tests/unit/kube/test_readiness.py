"""What is waited for until workloads are ready, and when waiting is given up."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

import pytest

from sandbox.kube import readiness
from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.apply_attempts import attempt
from sandbox.kube.pods import CRASHES
from sandbox.kube.readiness import REVISION, troubles, wait_ready
from sandbox.kube.workload_status import progress
from sandbox.names import Names
from sandbox.system.wait import WaitTimeout, wait_until
from tests.support.api_server import ApiServer

OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}


@pytest.mark.parametrize(
    ("status", "message", "early"),
    [
        (500, 'failed calling webhook "validate.nginx": dial tcp 10.110.13.77:443: connection refused', True),
        (403, "error looking up service account default/default: serviceaccount not found", True),
        (500, 'conversion webhook for example.com/v1, Kind=Widget failed: Post "https://x": EOF', True),
        (404, "the server could not find the requested resource", True),
        (400, 'admission webhook "validate.nginx" denied the request: host is taken', False),
        (403, "configmaps is forbidden", False),
    ],
)
def test_premature_request_is_distinguished_from_a_refusal(
    server: ApiServer, names: Names, status: int, message: str, early: bool
) -> None:
    cluster = Cluster(names.kubeconfig)
    server.refusal = (status, json.dumps({"kind": "Status", "message": message}).encode())
    with nullcontext() if early else pytest.raises(ClusterError, match="applying ConfigMap default/a failed"):
        assert attempt(cluster, OBJECT) == message
    server.refusal = None
    assert attempt(cluster, OBJECT) is None


def crashing(restarts: int, hash: str = "1", **state: Any) -> dict[str, Any]:
    """A pod whose container has crashed `restarts` + 1 times."""
    status = {
        "name": "app",
        "restartCount": restarts,
        "state": state or {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed"}},
        "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
    }
    metadata = {"namespace": "ns", "labels": {"pod-template-hash": hash}, "creationTimestamp": f"2026-01-0{hash}"}
    return {"metadata": metadata, "status": {"containerStatuses": [status]}}


class Clusters:
    """Workloads and pods by name; the `steps` are taken one at a time, whenever a wait pauses for ten seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workloads: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.steps: list[Callable[[], None]] = []
        self.now, self.seconds = 0.0, 10.0
        clock = partial(wait_until, clock=lambda: self.now, sleep=self.pause)
        monkeypatch.setattr(readiness, "wait_until", clock)
        monkeypatch.setattr("sandbox.kube.readiness.time.monotonic", lambda: self.now)

    def add(self, **pods: dict[str, Any]) -> None:
        """Add these pods and a Deployment for each; `web_1` is the pod web-1 of the Deployment web."""
        self.workloads |= {name.partition("_")[0]: workload(name.partition("_")[0]) for name in pods}
        self.pods |= {name.replace("_", "-"): pod for name, pod in pods.items()}

    def pause(self, seconds: float) -> None:
        self.now += self.seconds
        if self.steps:
            self.steps.pop(0)()

    def get(self, version: str, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        return self.workloads.get(name)

    def list(self, version: str, kind: str, namespace: str, *, selector: str = "") -> list[dict[str, Any]]:
        if kind == "Event":
            return self.events
        app = selector.removeprefix("app=")
        return [
            {**pod, "metadata": {**pod["metadata"], "name": name}}
            for name, pod in self.pods.items()
            if name.startswith(app)
        ]

    def log(self, pod: str, namespace: str, **asked: Any) -> str:
        return f"the end of {pod}"

    def await_ready(self) -> None:
        wait_ready(cast("Cluster", self), list(self.workloads.values()), timeout=300.0, say=self.said.append)


def workload(name: str, **status: int) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}},
        "status": {"observedGeneration": 1, **status},
    }


UP = {"readyReplicas": 1, "updatedReplicas": 1, "replicas": 1}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Clusters:
    return Clusters(monkeypatch)


def unscheduled(message: str, **more: Any) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"metadata": {"namespace": "ns"}, "status": {"phase": "Pending", "conditions": [condition]}, **more}


@pytest.mark.parametrize(
    ("message", "least"),
    [
        ("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.", 30),
        ('0/1 nodes are available: persistentvolumeclaim "data" not found.', 30),
        ("0/1 nodes are available: 1 Insufficient memory.", 60),
        ("0/1 nodes are available: 1 node(s) had untolerated taint(s).", None),  # which may go
    ],
)
def test_pod_that_no_node_will_take_ends_the_wait(cluster: Clusters, message: str, least: float | None) -> None:
    cluster.add(web_1=unscheduled(message))
    if least is None:
        with pytest.raises(WaitTimeout):
            cluster.await_ready()
        return
    with pytest.raises(ClusterError, match="Deployment ns/web cannot start") as caught:
        cluster.await_ready()
    assert least < cluster.now <= least + 10
    assert message in caught.value.details


VOLUMES = {"volumes": [{"name": "t", "emptyDir": {}}, {"persistentVolumeClaim": {"claimName": "data"}}]}
UNBOUND_CLAIM = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
PROBE = 'Readiness probe errored: failed to start exec "956b": exec: "pg_isready": executable file not found in $PATH'


def event(reason: str, kind: str, name: str, message: str, second: int = 0) -> dict[str, Any]:
    when = f"2026-01-01T00:00:{second:02}Z"
    return {"reason": reason, "involvedObject": {"kind": kind, "name": name}, "message": message, "lastTimestamp": when}


@pytest.mark.parametrize(
    ("reason", "kind", "name", "message", "prefix"),
    [
        ("FailedMount", "Pod", "db-0", 'MountVolume.SetUp failed: secret "login" not found', "pod db-0: "),
        ("ProvisioningFailed", "PersistentVolumeClaim", "data", 'storageclass "gp3" not found', "claim data: "),
        ("Unhealthy", "Pod", "db-0", PROBE, "pod db-0: "),
    ],
)
def test_warning_about_a_missing_object_ends_the_wait_until_it_recovers(
    cluster: Clusters, reason: str, kind: str, name: str, message: str, prefix: str
) -> None:
    cluster.add(db_0=unscheduled(UNBOUND_CLAIM, spec=VOLUMES))
    warning = event(reason, kind, name, message, 1)
    cluster.events = [event("Started", kind, name, "", 2), warning]
    with pytest.raises(WaitTimeout):
        cluster.await_ready()
    cluster.events = [event("Started", kind, name, ""), warning]
    begun = cluster.now
    with pytest.raises(ClusterError, match="Deployment ns/db cannot start") as caught:
        cluster.await_ready()
    assert cluster.now <= begun + 40
    assert f"{prefix}{message}" in caught.value.details


@pytest.mark.fault(64)
def test_all_that_crash_again_and_again_are_named(cluster: Clusters) -> None:
    """Two of three workloads crash again and again → both are named with exit codes and their last lines."""
    cluster.add(web_1=crashing(1), job_1=crashing(3))
    cluster.workloads["db"] = workload("db", **UP)
    cluster.steps = [
        lambda: cluster.pods.update({"web-1": crashing(3)}),
        lambda: cluster.pods.update({"job-1": crashing(4)}),
    ]
    with pytest.raises(ClusterError) as caught:
        cluster.await_ready()
    assert cluster.now < 60
    assert caught.value.brief == "2 workloads: Deployment ns/web, Deployment ns/job cannot start"
    said = "pod web-1, container app: CrashLoopBackOff, exit code 3, restarted 3 times\n    the end of web-1"
    assert said in caught.value.details
    assert "the end of job-1" in caught.value.details


def test_crash_that_waits_for_another_gets_one_more_start(cluster: Clusters) -> None:
    cluster.steps = [
        lambda: None,
        lambda: cluster.workloads.update(db=workload("db", **UP)),
        lambda: None,
        lambda: cluster.workloads.update(web=workload("web", **UP)),
    ]
    cluster.add(web_1=crashing(4))
    cluster.workloads["db"] = workload("db")
    cluster.await_ready()
    assert not cluster.steps


def test_pods_of_the_template_before_decide_nothing(cluster: Clusters) -> None:
    cluster.steps = [lambda: None, lambda: cluster.workloads.update(web=workload("web", **UP))]
    cluster.workloads = {"web": workload("web", replicas=2, updatedReplicas=1)}
    cluster.pods = {"web-1": crashing(9, "1"), "web-2": crashing(0, "2", waiting={"reason": "ContainerCreating"})}
    cluster.await_ready()
    assert not cluster.steps


def test_error_of_a_failed_job_has_its_pods_log(cluster: Clusters) -> None:
    job = workload("move") | {"kind": "Job"}
    failed = {"type": "Failed", "status": "True", "message": "reached the backoff limit"}
    job["status"] = {"failed": 1, "conditions": [failed]}
    cluster.workloads = {"move": job}
    cluster.pods = {"move-1": crashing(0, terminated={"exitCode": 1, "reason": "Error"})}
    with pytest.raises(ClusterError, match="Job ns/move failed") as caught:
        cluster.await_ready()
    assert "container app: Error, exit code 1" in caught.value.details
    assert "the end of move-1" in caught.value.details
    (line,) = troubles(cast("Cluster", cluster), [job])
    assert line.startswith("Job ns/move: ") and line.endswith(caught.value.details)


def test_account_without_the_right_to_list_events_can_wait(cluster: Clusters, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the Role that docs/existing.md asks for."""

    def refused(*given: Any, **more: Any) -> list[dict[str, Any]]:
        if given[1] == "Event":
            raise ClusterError("GET events failed", status=403)
        return listed(*given, **more)

    listed = cluster.list
    monkeypatch.setattr(cluster, "list", refused)
    cluster.workloads = {"web": workload("web", updatedReplicas=1, replicas=1)}
    cluster.pods = {"web-1": {"metadata": {"namespace": "ns"}, "status": {"containerStatuses": []}}}
    cluster.steps = [lambda: None, lambda: None, lambda: cluster.workloads.update(web=workload("web", **UP))]
    cluster.await_ready()


def test_failing_probe_and_pod_that_does_not_end_are_quoted(cluster: Clusters) -> None:
    cluster.workloads = {"web": workload("web", updatedReplicas=1, replicas=1)}
    cluster.pods = {"web-1": {"metadata": {"namespace": "ns"}, "status": {"containerStatuses": []}}}
    cluster.events = [
        event("Unhealthy", "Pod", "web-1", "Readiness probe failed: /checks/web.sh: not found\n", 2),
        event("Unhealthy", "Pod", "web-1", "Readiness probe failed: earlier", 1),
        event("Unhealthy", "Pod", "other-1", "of another", 3),
    ]
    with pytest.raises(WaitTimeout) as caught:
        cluster.await_ready()
    reason = "Deployment ns/web: 0 of 1 pods ready; pod web-1: Readiness probe failed: /checks/web.sh: not found"
    assert caught.value.details.splitlines() == [reason]
    # It is said meanwhile, and not only after five minutes.
    assert "Deployment ns/web: 0 of 1 pods ready" in cluster.said[0] and "Readiness probe failed" not in cluster.said[0]
    assert any("Readiness probe failed: /checks/web.sh" in one for one in cluster.said[:4])
    metadata = {"namespace": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    cluster.pods = {"web-1": {"metadata": metadata, "spec": {"nodeName": "worker"}}}
    with pytest.raises(WaitTimeout) as caught:
        cluster.await_ready()
    assert caught.value.details.endswith("; pod web-1 on worker is being deleted, and has not ended")


def test_program_that_runs_for_a_moment_is_not_ready_yet(cluster: Clusters) -> None:
    def web(**status: int) -> dict[str, Any]:
        made = workload("web", **status)
        made["spec"]["template"] = {"spec": {"containers": [{"name": "app"}]}}
        return made

    def ends() -> None:
        cluster.workloads["web"], cluster.pods["web-1"] = web(), crashing(5)

    cluster.steps = [lambda: cluster.workloads.update(web=web(**UP)), ends]
    cluster.workloads = {"web": web()}
    cluster.seconds = 1.0
    with pytest.raises(ClusterError, match="Deployment ns/web cannot start"):
        cluster.await_ready()
    assert not cluster.steps


@pytest.mark.parametrize(("message", "waits"), [('failed calling webhook "a.b": EOF', True), ("exceeded quota", False)])
def test_pods_that_a_webhook_is_to_allow_are_waited_for(cluster: Clusters, message: str, waits: bool) -> None:
    """Pods are refused for a minute, by a late webhook → they are waited for; by a quota → an error."""
    cluster.steps = [*[lambda: None] * 6, lambda: cluster.workloads.update(web=workload("web", **UP))]
    web = workload("web", replicas=1)
    web["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": message}]
    cluster.workloads["web"] = web
    with nullcontext() if waits else pytest.raises(ClusterError, match="Deployment ns/web cannot start"):
        cluster.await_ready()


PODSECURITY = 'pods "db-1" is forbidden: violates PodSecurity "restricted:latest"'


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("StatefulSet", {"replicas": 1, "updatedReplicas": 1}, PODSECURITY),
        ("Job", {}, 'admission webhook "validate.kyverno.svc-fail" denied the request: no limits'),
        ("DaemonSet", {"desiredNumberScheduled": 1}, PODSECURITY),
    ],
)
def test_refused_pods_in_events_end_the_wait(cluster: Clusters, kind: str, status: dict[str, int], reason: str) -> None:
    """Pods that violate the namespace's PodSecurity → the reason, which only events have; not where one came since."""
    cluster.workloads = {"db": {**workload("db", **status), "kind": kind}}
    cluster.workloads["db"]["spec"]["replicas"] = 2
    if status.get("replicas"):
        cluster.pods = {"db-0": {"metadata": {"namespace": "ns"}, "status": {"containerStatuses": []}}}
    said = f"create Pod db-1 failed: {reason}"
    cluster.events = [event("FailedCreate", kind, "db", said, 1), event("FailedCreate", "ReplicaSet", "db", "x", 2)]
    with pytest.raises(ClusterError, match=f"{kind} ns/db cannot start") as caught:
        cluster.await_ready()
    assert (caught.value.details, cluster.now <= 40) == (said, True)
    cluster.events.append(event("SuccessfulDelete", kind, "db", "", 2))
    with pytest.raises(WaitTimeout):
        cluster.await_ready()


@pytest.mark.parametrize(("kind", "given_up"), [("Job", True), ("Deployment", False)])
def test_job_whose_pods_failed_and_are_gone_is_given_up(cluster: Clusters, kind: str, given_up: bool) -> None:
    cluster.steps = [lambda: cluster.workloads.update(job=job(CRASHES))]

    def job(failed: int) -> dict[str, Any]:
        return workload("job", failed=failed) | {"kind": kind}

    cluster.workloads = {"job": job(CRASHES - 1)}
    with pytest.raises(ClusterError if given_up else WaitTimeout):
        cluster.await_ready()


def of_revision(revision: str, *, ready: bool = False, seconds: float = 60, **more: str) -> dict[str, Any]:
    metadata = {"namespace": "ns", "labels": {REVISION: revision}, **more}
    since = f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": since}
    return {"metadata": metadata, "status": {"conditions": [condition]}}


def updating(kind: str, strategy: dict[str, Any]) -> dict[str, Any]:
    live = workload("db", replicas=5, updatedReplicas=1) | {"kind": kind}
    live["status"]["updateRevision"] = "new"
    live["spec"]["updateStrategy"] = strategy
    return live


@pytest.mark.parametrize(
    ("kind", "strategy", "replaced"),
    [
        ("StatefulSet", {}, ["db-1"]),
        ("StatefulSet", {"type": "OnDelete"}, []),
        ("StatefulSet", {"rollingUpdate": {"partition": 1}}, []),
        ("Deployment", {}, []),
    ],
)
def test_pod_of_an_earlier_revision_that_is_not_ready_for_long_is_replaced(
    cluster: Clusters, monkeypatch: pytest.MonkeyPatch, kind: str, strategy: dict[str, Any], replaced: list[str]
) -> None:
    """Kubernetes itself would wait for it, and so would `up`."""
    deleted: list[str] = []
    cluster.steps = [lambda: cluster.workloads.update(db=workload("db", **UP) | {"kind": kind})]
    cluster.pods = {
        "db-0": of_revision("old", ready=True),
        "db-1": of_revision("old"),
        "db-2": of_revision("new"),
        "db-3": of_revision("old", deletionTimestamp="2026-01-01T00:00:00Z"),
        "db-4": of_revision("old", seconds=20),
        "db-job": {"metadata": {"namespace": "ns", "labels": {}}, "status": {}},
    }
    cluster.workloads["db"] = updating(kind, strategy)
    monkeypatch.setattr(cluster, "delete", lambda version, kind, name, namespace: deleted.append(name), raising=False)
    cluster.await_ready()
    assert deleted == replaced


def test_refused_deletion_of_a_pod_names_the_command(cluster: Clusters, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: str) -> None:
        raise ClusterError("pods is forbidden", status=403)

    cluster.pods = {"db-0": of_revision("old")}
    cluster.workloads["db"] = updating("StatefulSet", {})
    monkeypatch.setattr(cluster, "delete", refuse, raising=False)
    with pytest.raises(ClusterError) as caught:
        cluster.await_ready()
    assert caught.value.fix == "kubectl --namespace ns delete pod db-0, then sandbox up"


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
