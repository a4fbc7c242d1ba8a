"""What is being deleted: applied again after its end, and named with what holds it when it does not end."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sandbox.kube import deletion, readiness
from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.deletion import BeingDeleted
from sandbox.kube.workload_status import progress
from sandbox.names import Names
from tests.support.api_server import ApiServer, Refused

APP = "/apis/apps/v1/namespaces/shop/deployments/app"
SHOP = "/api/v1/namespaces/shop"
LEAVING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
WANTED = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "namespace": "shop"}}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", **LEAVING}}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}}


@pytest.fixture
def cluster(server: ApiServer, names: Names) -> Cluster:
    return Cluster(names.kubeconfig)


def leaving(finalizer: str = "foregroundDeletion") -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": "app"}}}
    held = {**WANTED["metadata"], **LEAVING, "uid": "1", "finalizers": [finalizer]}  # type: ignore[dict-item]
    return {**WANTED, "metadata": held, "spec": spec}


def test_a_refusal_by_an_ending_namespace_is_waited_out(server: ApiServer, cluster: Cluster) -> None:
    server.objects[SHOP] = NAMESPACE

    def admit(manifest: dict[str, Any]) -> dict[str, Any]:
        if SHOP in server.objects:
            raise Refused(403, "unable to create new content in namespace shop because it is being terminated")
        return manifest

    server.admit = admit
    threading.Timer(0.1, server.objects.pop, (SHOP,)).start()
    cluster.apply(CONFIG)
    assert server.objects[f"{SHOP}/configmaps/a"] == CONFIG


def test_an_object_that_does_not_end_is_named_with_its_holders(server: ApiServer, cluster: Cluster) -> None:
    server.objects[APP] = leaving("example.com/clean-up")
    with pytest.raises(BeingDeleted) as caught:
        deletion.await_end(cluster, [server.objects[APP]], timeout=0)
    assert caught.value.brief == "Deployment shop/app is being deleted and still there after 0 s"
    assert "Deployment shop/app: finalizer example.com/clean-up" in caught.value.details
    assert "kubectl edit deployment app --namespace=shop" in caught.value.fix


def test_finalizer_of_kubernetes_is_not_to_be_removed_and_namespace_names_its_objects(
    server: ApiServer, cluster: Cluster
) -> None:
    server.objects[APP] = leaving("kubernetes.io/pvc-protection")
    condition = {"type": "NamespaceContentRemaining", "status": "True", "message": "there are 1 persistentvolumeclaims"}
    server.objects[SHOP] = {**NAMESPACE, "status": {"conditions": [condition]}}
    with pytest.raises(BeingDeleted, match="Namespace shop") as caught:
        deletion.await_end(cluster, [server.objects[APP], server.objects[SHOP]], timeout=0)
    assert "finalizer kubernetes.io/pvc-protection" in caught.value.details
    assert "there are 1 persistentvolumeclaims" in caught.value.details
    assert "finalizer" not in caught.value.fix


def test_a_workload_that_will_not_stay_is_not_waited_for(server: ApiServer, cluster: Cluster) -> None:
    readiness.wait_ready(cluster, [WANTED], timeout=0)
    server.objects[APP] = leaving()
    assert progress(server.objects[APP]) == "is being deleted"
    readiness.wait_ready(cluster, [WANTED], timeout=0)


def test_an_annotation_never_makes_an_object(server: ApiServer, cluster: Cluster) -> None:
    with pytest.raises(ClusterError) as caught:
        cluster.change(CONFIG, {"metadata": {"annotations": {"a": "b"}}})
    assert (caught.value.status, server.objects) == (404, {})
    server.objects[APP] = {**WANTED, "spec": {"replicas": 2}}
    cluster.annotate_pods(WANTED, {"a": "b"}, manager="other")
    changed = {"replicas": 2, "template": {"metadata": {"annotations": {"a": "b"}}}}
    assert server.objects[APP]["spec"] == changed
    assert server.asked[-1][3] == {"fieldManager": ["other"]}
