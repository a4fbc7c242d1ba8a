"""Workloads by the names that people use."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.app.running import project_workloads
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.names import Names
from tests.support.api_server import ApiServer


def workload(name: str, namespace: str, kind: str = "Deployment") -> tuple[str, dict[str, Any]]:
    path = f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s/{name}"
    spec = {"selector": {"matchLabels": {"app": name}}}
    return path, {"kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


@pytest.fixture
def cluster(server: ApiServer, names: Names) -> Cluster:
    server.kinds["/apis/apps/v1"] |= {"StatefulSet": ("statefulsets", True), "DaemonSet": ("daemonsets", True)}
    there = [workload("web", "shop"), workload("db", "shop", "StatefulSet"), workload("db", "other")]
    server.objects |= dict([*there, workload("coredns", "kube-system")])
    return Cluster(names.kubeconfig)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("deploy/web", "shop/deployment/web"),
        ("shop/web", "shop/deployment/web"),
        ("other/db", "other/deployment/db"),
        ("statefulset/db", "shop/statefulset/db"),
        ("shop/sts/db", "shop/statefulset/db"),
    ],
)
def test_workload_is_found_by_each_form_of_its_name(cluster: Cluster, text: str, title: str) -> None:
    assert project_workloads.find(cluster, text, None).title == title


@pytest.mark.parametrize(
    ("text", "words"),
    [("db", "several workloads"), ("api", "there is no workload api"), ("coredns", "there is no workload coredns")],
)
def test_unknown_or_ambiguous_name_is_an_error_that_lists_titles(cluster: Cluster, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        project_workloads.find(cluster, text, None)
    assert "shop/statefulset/db" in f"{caught.value.details} {caught.value.fix}"


def test_workload_without_a_running_pod_names_the_phases(cluster: Cluster, server: ApiServer) -> None:
    pod = {"kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}}}
    server.objects["/api/v1/namespaces/shop/pods/web-1"] = {**pod, "status": {"phase": "Pending"}}
    with pytest.raises(UsageError, match="no pod of shop/deployment/web runs") as caught:
        project_workloads.running_pod(cluster, project_workloads.find(cluster, "web", None))
    assert caught.value.details == "web-1: Pending"
