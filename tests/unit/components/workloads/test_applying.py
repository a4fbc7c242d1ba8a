"""Objects that come too early, and those that cannot change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox.components.workloads.applying import NOT_READY, apply_all, attempt_changed, await_nodes
from sandbox.kube.api import Cluster, ClusterError, Manifest
from sandbox.kube.apply_attempts import attempt
from sandbox.kube.records import ObjectKey
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
    return Cluster(names.kubeconfig)


@dataclass
class Applying:
    """Applies objects of the sandbox, or of others, and keeps what is said about it."""

    cluster: Cluster
    lines: list[str] = field(default_factory=list)

    def apply(self, manifest: Manifest, *, is_ours: bool = True) -> None:
        ours = [ObjectKey.of(manifest)] if is_ours else []
        assert attempt_changed(self.cluster, manifest, ours=ours, context="c", say=self.lines.append) is None


@pytest.fixture
def applying(cluster: Cluster) -> Applying:
    return Applying(cluster)


def refuse(server: ApiServer, path: str, message: str) -> None:
    """As the API server: what is there cannot become what is applied."""

    def admit(manifest: dict[str, Any]) -> dict[str, Any]:
        before = server.objects.get(path)
        if before is not None and before["spec"] != manifest["spec"]:
            raise Refused(422, message)
        return manifest

    server.admit = admit


SEED = "/apis/batch/v1/namespaces/shop/jobs/seed"


def test_changed_job_of_the_sandbox_is_recreated_and_reported(applying: Applying, server: ApiServer) -> None:
    refuse(server, SEED, JOB % ("x" * 5000))
    for image in "ab":
        applying.apply(made("Job", "seed", "batch/v1", image=image))
    assert server.objects[SEED]["spec"] == {"image": "b"}
    assert applying.lines == ["recreating Job shop/seed, which cannot be changed"]


@pytest.mark.parametrize("kind", ["Job", "Pod"])
def test_failed_job_or_pod_of_the_sandbox_runs_again(applying: Applying, server: ApiServer, kind: str) -> None:
    """A Job has failed, and what it needs is corrected → `up` runs it again, though it is the same."""
    manifest = made(kind, "seed", "batch/v1" if kind == "Job" else "v1", image="a")
    path = SEED if kind == "Job" else "/api/v1/namespaces/shop/pods/seed"
    failed = {"conditions": [{"type": "Failed", "status": "True"}], "phase": "Failed"}
    for status, is_ours in (({}, True), (failed, False), (failed, True)):
        server.objects[path] = {**manifest, "status": status}
        applying.apply(manifest, is_ours=is_ours)
        deleted = [asked for asked in server.asked if asked[:2] == ("DELETE", path)]
        assert len(deleted) == len(applying.lines) == (status is failed and is_ours)


@pytest.mark.parametrize(
    ("status", "message", "fix"),
    [
        (404, 'namespaces "shop" not found', "or: kubectl --context c create namespace shop"),
        (500, "failed to create typed patch object: .spec.selectr: field not declared in schema", "in its manifest"),
        (500, "etcdserver: no leader", ""),
        (403, 'jobs.batch is forbidden: User "ann" cannot patch resource "jobs"', "give you that right"),
    ],
)
def test_refused_object_has_a_fix(applying: Applying, server: ApiServer, status: int, message: str, fix: str) -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise Refused(status, message)

    server.admit = refuse
    with pytest.raises(ClusterError) as caught:
        applying.apply(made("Job", "seed", "batch/v1"), is_ours=False)
    assert message in caught.value.details and (fix in caught.value.fix if fix else not caught.value.fix)


@pytest.mark.parametrize(
    ("kind", "message", "command"),
    [
        ("Job", JOB % "", "kubectl --context c delete job web --namespace=shop, then sandbox up"),
        ("Deployment", SELECTOR % ("v1.LabelSelector{" + "x" * 5000 + "}"), "delete deployment web"),
        ("StatefulSet", f'StatefulSet.apps "web" is invalid: {CLAIMS}', "--cascade=orphan"),
        ("PersistentVolumeClaim", PVC, "web --namespace=shop, which deletes its data, then sandbox up"),
    ],
)
def test_object_that_cannot_change_has_a_fix(
    applying: Applying, server: ApiServer, kind: str, message: str, command: str
) -> None:
    """A Job of another user's, or an object that contains data → the command that deletes it; it stays."""
    version = {"PersistentVolumeClaim": "v1", "Job": "batch/v1"}.get(kind, "apps/v1")
    path = f"/{'api' if version == 'v1' else 'apis'}/{version}/namespaces/shop/{kind.lower()}s/web"
    server.objects[path] = made(kind, "web", version, size=1)
    refuse(server, path, message)
    with pytest.raises(ClusterError) as caught:
        applying.apply(made(kind, "web", version, size=2), is_ours=kind != "Job")
    assert caught.value.brief == f"{kind} shop/web exists and cannot be changed this way"
    assert command in caught.value.fix
    assert len(caught.value.details) <= 400
    assert server.objects[path]["spec"] == {"size": 1}


def widget(name: str) -> Manifest:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}}


def test_premature_object_waits_for_all_that_follow() -> None:
    done: list[str] = []
    lines: list[str] = []

    def attempt_once(manifest: Manifest) -> str | None:
        name = manifest["metadata"]["name"]
        if name == "first" and "webhook" not in done:
            return "failed calling webhook"
        done.append(name)
        return None

    apply_all([widget("first"), widget("webhook"), widget("last")], attempt_once, lines.append)
    assert done == ["webhook", "last", "first"]
    assert lines == ["Widget first", "Widget webhook", "Widget last", "Widget first: failed calling webhook"]


def test_kind_that_does_not_come_is_named_with_its_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.components.workloads.applying.APPLY_TIMEOUT", 0.0)
    missing = "the cluster knows no Widget in example.com/v1"
    with pytest.raises(ClusterError) as caught:
        apply_all([widget("a"), widget("b")], lambda _: missing)
    assert caught.value.brief == "the cluster has no kind Widget (example.com/v1)"
    assert caught.value.details == "Widget a\nWidget b" and "gateway_api: true" in caught.value.fix


@pytest.mark.fault(99)
@pytest.mark.parametrize(("version", "kind"), [("extensions/v1beta1", "Ingress"), ("apps/v1", "Deploymnt")])
def test_kind_that_no_cluster_has_is_refused_at_once(applying: Applying, version: str, kind: str) -> None:
    """An Ingress of extensions/v1beta1, a mistyped Deployment → an error that says what to correct, without a wait."""
    with pytest.raises(ClusterError, match=rf"the cluster has no kind {kind} \({version}\)") as caught:
        apply_all([made(kind, "web", version)], lambda manifest: attempt(applying.cluster, manifest))
    assert caught.value.fix.startswith("correct `kind` and `apiVersion`")


NODES = ("demo-control-plane", "demo-worker", "demo-worker2", "demo-lost")


def node(name: str, *taints: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]}}


def put(server: ApiServer, *nodes: dict[str, Any]) -> None:
    server.objects |= {f"/api/v1/nodes/{node['metadata']['name']}": node for node in nodes}


def test_nodes_that_join_are_awaited_and_lost_ones_are_not(cluster: Cluster, server: ApiServer) -> None:
    put(server, node(NODES[0], "node-role.kubernetes.io/control-plane"))
    put(server, node(NODES[3], "node.kubernetes.io/unreachable"))
    joining = [(node(NODES[1]), node(NODES[2], NOT_READY)), (node(NODES[2]),)]
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        put(server, *joining.pop(0))

    await_nodes(cluster, NODES, say)
    assert lines == ["waiting for demo-worker, demo-worker2", "waiting for demo-worker2"] and not joining
