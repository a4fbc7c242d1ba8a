"""Objects that come too early, and those that cannot change."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.components.workloads import applying
from sandbox.components.workloads.applying import (
    NOT_READY,
    apply_all,
    attempt_changed,
    await_nodes,
    unanswered,
    without_webhooks,
)
from sandbox.kube.api import Cluster, ClusterError, Manifest
from sandbox.kube.object_keys import ObjectKey
from sandbox.names import Names
from tests.support.api_server import ApiServer, Refused

JOB = 'Job.batch "seed" is invalid: spec.template: Invalid value: core.PodTemplateSpec{%s}: field is immutable'
SELECTOR = 'Deployment.apps "web" is invalid: spec.selector: Invalid value: %s: field is immutable'
CLAIMS = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'template' are forbidden"
PVC = 'PersistentVolumeClaim "web" is invalid: spec: Forbidden: spec is immutable after creation except resources'


def made(kind: str, name: str, version: str = "apps/v1", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


@pytest.fixture
def cluster(names: Names, server: ApiServer) -> Cluster:
    server.kinds["/apis/batch/v1"] = {"Job": ("jobs", True)}
    server.kinds["/apis/apps/v1"]["StatefulSet"] = ("statefulsets", True)
    server.kinds["/api/v1"]["PersistentVolumeClaim"] = ("persistentvolumeclaims", True)
    return Cluster(names.kubeconfig)


def refuse(server: ApiServer, path: str, message: str) -> None:
    """As the API server: what is there cannot become what is applied."""

    def admit(manifest: dict[str, Any]) -> dict[str, Any]:
        before = server.objects.get(path)
        if before is not None and before["spec"] != manifest["spec"]:
            raise Refused(422, message)
        return manifest

    server.admit = admit


def test_changed_job_of_the_sandbox_is_recreated_and_reported(cluster: Cluster, server: ApiServer) -> None:
    before, after = made("Job", "seed", "batch/v1", image="a"), made("Job", "seed", "batch/v1", image="b")
    path = "/apis/batch/v1/namespaces/shop/jobs/seed"
    refuse(server, path, JOB % ("x" * 5000))
    said: list[str] = []
    told: list[str] = []
    for one in (before, after):
        assert (
            attempt_changed(cluster, one, ours=[ObjectKey.of(before)], context="c", say=said.append, recreated=told)
            is None
        )
    assert server.objects[path]["spec"] == {"image": "b"}
    assert said == ["recreating Job shop/seed: its spec.template cannot change"]
    assert told == ["recreated Job shop/seed, whose spec.template had changed"]


@pytest.mark.parametrize("kind", ["Job", "Pod"])
def test_failed_job_or_pod_of_the_sandbox_runs_again(cluster: Cluster, server: ApiServer, kind: str) -> None:
    """A Job has failed, and what it needs is corrected → `up` runs it again, though it is the same."""
    one = made(kind, "seed", "batch/v1" if kind == "Job" else "v1", image="a")
    path = f"/{'apis/batch/v1' if kind == 'Job' else 'api/v1'}/namespaces/shop/{kind.lower()}s/seed"
    told: list[str] = []
    failed = {"conditions": [{"type": "Failed", "status": "True"}], "phase": "Failed"}
    for status, ours in (({}, True), (failed, False), (failed, True)):
        server.objects[path] = {**one, "status": status}
        places = [ObjectKey.of(one)] if ours else []
        attempt_changed(cluster, one, ours=places, context="c", say=print, recreated=told)
        deleted = [asked for asked in server.asked if asked[:2] == ("DELETE", path)]
        assert len(deleted) == len(told) == (status is failed and ours)
    assert told == [f"recreated {kind} shop/seed, which had failed"]


def test_a_job_of_another_users_stays(cluster: Cluster, server: ApiServer) -> None:
    path = "/apis/batch/v1/namespaces/shop/jobs/seed"
    server.objects[path] = made("Job", "seed", "batch/v1", image="a")
    refuse(server, path, JOB % "")
    with pytest.raises(ClusterError, match=r"its spec\.template cannot change") as caught:
        attempt_changed(
            cluster, made("Job", "seed", "batch/v1", image="b"), ours=(), context="c", say=print, recreated=[]
        )
    assert caught.value.fix.startswith("kubectl --context c delete job seed --namespace=shop, then sandbox up")
    assert server.objects[path]["spec"] == {"image": "a"}


@pytest.mark.parametrize(
    ("status", "message", "fix"),
    [
        (404, 'namespaces "shop" not found', "or: kubectl --context c create namespace shop"),
        (500, "failed to create typed patch object: .spec.selectr: field not declared in schema", "in its manifest"),
        (500, "etcdserver: no leader", ""),
        (403, 'jobs.batch is forbidden: User "ann" cannot patch resource "jobs"', "give you that right"),
    ],
)
def test_refused_object_has_a_fix(cluster: Cluster, server: ApiServer, status: int, message: str, fix: str) -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise Refused(status, message)

    server.admit = refuse
    with pytest.raises(ClusterError) as caught:
        attempt_changed(cluster, made("Job", "seed", "batch/v1"), ours=(), context="c", say=print, recreated=[])
    assert message in caught.value.details and (fix in caught.value.fix if fix else not caught.value.fix)


@pytest.mark.parametrize(
    ("kind", "message", "field", "command"),
    [
        ("Deployment", SELECTOR % ("v1.LabelSelector{" + "x" * 5000 + "}"), "spec.selector", "delete deployment web"),
        ("StatefulSet", f'StatefulSet.apps "web" is invalid: {CLAIMS}', "spec", "--cascade=orphan"),
        ("PersistentVolumeClaim", PVC, "spec", "web --namespace=shop, which deletes its data, then sandbox up"),
    ],
)
def test_other_fixed_fields_are_named_with_a_fix(
    cluster: Cluster, server: ApiServer, kind: str, message: str, field: str, command: str
) -> None:
    version = "v1" if kind == "PersistentVolumeClaim" else "apps/v1"
    path = f"/{'api' if version == 'v1' else 'apis'}/{version}/namespaces/shop/{kind.lower()}s/web"
    server.objects[path] = made(kind, "web", version, size=1)
    refuse(server, path, message)
    wanted = made(kind, "web", version, size=2)
    with pytest.raises(ClusterError) as caught:
        attempt_changed(cluster, wanted, ours=[ObjectKey.of(wanted)], context="sandbox-demo", say=print, recreated=[])
    assert caught.value.brief == f"{kind} shop/web exists, and its {field} cannot change"
    assert command in caught.value.fix
    assert len(caught.value.details) <= 400


def widget(name: str) -> Manifest:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}}


def test_premature_object_waits_for_all_that_follow() -> None:
    done: list[str] = []

    def one_attempt(manifest: Manifest) -> str | None:
        name = manifest["metadata"]["name"]
        if name == "first" and "webhook" not in done:
            return "failed calling webhook"
        done.append(name)
        return None

    apply_all([widget("first"), widget("webhook"), widget("last")], one_attempt)
    assert done == ["webhook", "last", "first"]


def test_kind_that_nothing_brings_is_an_error_at_once() -> None:
    fix = "in sandbox.yaml: `x: true`"
    with pytest.raises(ClusterError) as caught:
        apply_all(
            [widget("a")],
            lambda _: "the cluster knows no Widget in example.com/v1",
            unbrought={"example.com": fix},
        )
    assert (caught.value.details, caught.value.fix) == ("Widget a", fix)


def test_a_kind_that_does_not_come_is_named_with_its_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "APPLY_TIMEOUT", 0.0)
    with pytest.raises(ClusterError) as caught:
        apply_all([widget("a"), widget("b")], lambda _: "the cluster knows no Widget in example.com/v1")
    assert caught.value.brief == "the cluster has no kind Widget (example.com/v1)"
    assert caught.value.details == "Widget a\nWidget b"


REFUSED = (
    'Internal error occurred: failed calling webhook "a.b": failed to call webhook: Post '
    '"https://guard.ops.svc:443/?timeout=3s": dial tcp 10.96.1.2:443: connect: connection refused'
)


def test_progress_names_the_unanswered_webhook() -> None:
    said: list[str] = []
    whys = iter(["failed calling webhook", None])
    apply_all([widget("a")], lambda _: next(whys), said.append)
    assert said == ["Widget a", "Widget a: failed calling webhook"]


def test_left_over_webhook_is_named_by_its_configuration(cluster: Cluster, server: ApiServer) -> None:
    kind = "ValidatingWebhookConfiguration"
    server.kinds["/apis/admissionregistration.k8s.io/v1"] = {
        kind: (f"{kind.lower()}s", False),
        "MutatingWebhookConfiguration": ("mutatingwebhookconfigurations", False),
    }
    for name, called in (("guard", "a.b"), ("other", "c.d")):
        server.objects[f"/apis/admissionregistration.k8s.io/v1/{kind.lower()}s/{name}"] = {
            "metadata": {"name": name},
            "webhooks": [{"name": called}],
        }
    fix = without_webhooks(cluster, REFUSED, "c")
    assert fix.endswith("kubectl --context c delete validatingwebhookconfiguration/guard")
    assert without_webhooks(cluster, "etcd is slow", "c") == ""


@pytest.mark.fault(64)
def test_pods_behind_a_webhook_are_named_with_their_faults(cluster: Cluster, server: ApiServer) -> None:
    """A webhook's pod crashes → what waits for the webhook ends with the pod's own reason."""
    assert list(unanswered(cluster, REFUSED)) == ["there is no Service ops/guard"]
    place = "/api/v1/namespaces/ops"
    metadata = {"namespace": "ops", "labels": {"app": "guard"}}
    server.objects[f"{place}/services/guard"] = {"metadata": {"name": "guard"}, "spec": {"selector": {"app": "guard"}}}
    assert list(unanswered(cluster, REFUSED)) == ["no pod is behind the Service ops/guard"]
    status = {"name": "guard", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    server.objects[f"{place}/pods/guard-1"] = {
        "metadata": {"name": "guard-1", **metadata},
        "status": {"containerStatuses": [status]},
    }
    (said,) = unanswered(cluster, f"{REFUSED}\n{REFUSED}")
    assert said == "pod ops/guard-1, container guard: CrashLoopBackOff, restarted 4 times"
    assert list(unanswered(cluster, "the server could not find the requested resource")) == []


NODES = ("demo-control-plane", "demo-worker", "demo-worker2")


def node(name: str, *taints: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]}}


def put(server: ApiServer, *nodes: dict[str, Any]) -> None:
    server.kinds["/api/v1"]["Node"] = ("nodes", False)
    server.objects |= {f"/api/v1/nodes/{one['metadata']['name']}": one for one in nodes}


def test_nodes_that_join_are_awaited(names: Names, server: ApiServer) -> None:
    put(server, node(NODES[0], "node-role.kubernetes.io/control-plane"))
    joining = [(node(NODES[1]), node(NODES[2], NOT_READY)), (node(NODES[2]),)]
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        put(server, *joining.pop(0))

    await_nodes(Cluster(names.kubeconfig), NODES, say)
    assert said == ["waiting for demo-worker, demo-worker2", "waiting for demo-worker2"] and not joining


def test_lost_node_and_node_alone_are_not_awaited(names: Names, server: ApiServer) -> None:
    said: list[str] = []
    await_nodes(Cluster(names.kubeconfig), NODES[:1], said.append)
    assert not server.asked
    put(server, node(NODES[0]), node(NODES[1]), node(NODES[2], "node.kubernetes.io/unreachable"))
    await_nodes(Cluster(names.kubeconfig), NODES, said.append)
    assert said == []
