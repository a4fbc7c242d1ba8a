"""In another user's cluster nothing is touched that is not labelled, and everything that is labelled is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.components.cluster.existing.tenant import NotOurs, Tenant, counted, placed
from sandbox.errors import UsageError
from sandbox.names import LABEL
from tests.support.api_server import ApiServer, kubeconfig

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "elsewhere"}}
PATH = "/api/v1/namespaces/mine/configmaps/a"


@pytest.fixture
def tenant(server: ApiServer, tmp_path: Path) -> Tenant:
    return Tenant(kubeconfig(tmp_path / "kubeconfig", server.server_port), "mine", "demo")


@pytest.mark.parametrize(("labels", "whose"), [({}, "another user"), ({LABEL: "other"}, "the sandbox 'other'")])
def test_objects_of_another_user_are_refused(
    server: ApiServer, tenant: Tenant, labels: dict[str, str], whose: str
) -> None:
    theirs = {**MAP, "metadata": {"name": "a", "namespace": "mine", "labels": labels}}
    server.objects[PATH] = theirs
    with pytest.raises(NotOurs, match=whose):
        tenant.apply(MAP)
    assert server.objects[PATH] == theirs


def test_all_sandbox_objects_and_no_others_are_found(server: ApiServer, tenant: Tenant) -> None:
    def put(path: str, kind: str, labels: dict[str, str], **more: Any) -> None:
        name = path.rpartition("/")[2]
        server.objects[path] = {"kind": kind, "metadata": {"name": name, "labels": labels, **more}}

    ours = {LABEL: "demo"}
    put("/api/v1/namespaces/mine/configmaps/ours", "ConfigMap", ours)
    put("/api/v1/namespaces/mine/configmaps/theirs", "ConfigMap", {LABEL: "other"})
    put("/api/v1/namespaces/other/configmaps/outside", "ConfigMap", ours)
    put("/apis/apps/v1/namespaces/mine/deployments/ours", "Deployment", ours)
    put("/api/v1/namespaces/mine/pods/made", "Pod", ours, ownerReferences=[{"kind": "ReplicaSet"}])
    put("/apis/discovery.k8s.io/v1/namespaces/mine/endpointslices/derived", "EndpointSlice", ours)
    found = tenant.ours()
    assert {(one["kind"], one["metadata"]["name"]) for one in found} == {("ConfigMap", "ours"), ("Deployment", "ours")}
    assert counted(found) == "1 ConfigMap, 1 Deployment"


def place(*manifests: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    settings: dict[str, Any] = {
        "namespaced": {("rbac.authorization.k8s.io/v1", "ClusterRole"): False},
        "images": {"localhost:5001": "127.0.0.1:31000"},
        "pull_secret": "pull",
        "ingress_class": "sandbox",
    }
    return placed(manifests, **{**settings, **more})


def thing(kind: str, name: str = "a", namespace: str | None = None, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}


def pod_of(*images: str, **more: Any) -> dict[str, Any]:
    return {"containers": [{"name": f"c{index}", "image": image} for index, image in enumerate(images)], **more}


def test_images_of_the_registry_have_another_name_and_its_secret() -> None:
    wanted = {**pod_of("127.0.0.1:31000/team/app:1", "busybox:1"), "imagePullSecrets": [{"name": "pull"}]}
    spec = pod_of("localhost:5001/team/app:1", "busybox:1")
    (pod,) = place(thing("Pod", spec=spec))
    assert pod["spec"] == wanted
    (deployment,) = place(thing("Deployment", spec={"template": {"spec": spec}}))
    assert deployment["spec"]["template"]["spec"] == wanted
    (job,) = place(thing("CronJob", spec={"jobTemplate": {"spec": {"template": {"spec": spec}}}}))
    assert job["spec"]["jobTemplate"]["spec"]["template"]["spec"] == wanted


@pytest.mark.parametrize("secrets", [None, [{"name": "pull"}]])
def test_pods_of_other_registries_get_no_secret_and_none_twice(secrets: list[dict[str, str]] | None) -> None:
    foreign = thing("Pod", spec=pod_of("localhost:50010/app:1"))
    assert place(foreign) == [foreign]
    (ours,) = place(thing("Pod", spec=pod_of("localhost:5001/a", imagePullSecrets=secrets)))
    assert ours["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    (without,) = place(thing("Pod", spec=pod_of("localhost:5001/a")), pull_secret=None)
    assert "imagePullSecrets" not in without["spec"]


def test_ingresses_have_the_class_that_is_served() -> None:
    metadata = {"name": "a", "annotations": {"kubernetes.io/ingress.class": "nginx", "other": "kept"}}
    with_class = {**thing("Ingress", spec={"ingressClassName": "nginx"}), "metadata": metadata}
    ingress, *others = place(with_class, thing("Ingress", "b"), thing("Ingress", "c", spec=None))
    assert ingress["metadata"]["annotations"] == {"other": "kept"}
    assert [each["spec"] for each in (ingress, *others)] == [{"ingressClassName": "sandbox"}] * 3


def test_objects_of_the_whole_cluster_are_refused() -> None:
    with pytest.raises(UsageError, match="whole cluster") as caught:
        place({**thing("ClusterRole", "reader"), "apiVersion": "rbac.authorization.k8s.io/v1"})
    assert caught.value.details == "ClusterRole reader"


def test_objects_of_one_name_in_two_namespaces_are_refused() -> None:
    assert place(thing("Namespace"), thing("ConfigMap", namespace="a")) == [thing("ConfigMap")]
    with pytest.raises(UsageError, match="would be one object"):
        place(thing("ConfigMap", namespace="a"), thing("ConfigMap", namespace="b"))
