"""Ways into a running cluster: a kubeconfig with fewer rights, and workloads by the names that people use."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sandbox.app.running import cluster_access, project_workloads
from sandbox.config.schema import ResolvedSpec
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.names import Names
from tests.support.api_server import ApiServer

BINDINGS = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture(autouse=True)
def shop(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster has the namespace `shop`; a token tells its account."""
    monkeypatch.setattr(Cluster, "token", lambda self, account, namespace, *, seconds: f"{namespace}/{account}")
    server.objects["/api/v1/namespaces/shop"] = {"kind": "Namespace", "metadata": {"name": "shop"}}


def made(names: Names, *, read_only: bool = False, namespace: str | None = None) -> Any:
    spec = ResolvedSpec(name=names.name)
    return yaml.safe_load(cluster_access.make(names, spec, read_only=read_only, namespace=namespace))


def test_kubeconfig_has_one_context_and_a_token_of_its_own_account(names: Names, server: ApiServer) -> None:
    content = made(names)
    assert content["users"] == [{"name": names.cluster, "user": {"token": "sandbox-system/sandbox-edit-all"}}]
    assert content["current-context"] == names.cluster
    binding = server.objects[f"{BINDINGS}/clusterrolebindings/sandbox-edit-all"]
    assert binding["roleRef"]["name"] == "edit"


def test_read_only_kubeconfig_of_a_namespace_may_view_it_only(names: Names, server: ApiServer) -> None:
    content = made(names, read_only=True, namespace="shop")
    assert content["contexts"][0]["context"]["namespace"] == "shop"
    binding = server.objects[f"{BINDINGS}/namespaces/shop/rolebindings/sandbox-view"]
    assert (binding["roleRef"]["name"], binding["subjects"][0]["namespace"]) == ("view", "shop")
    assert not [path for path in server.objects if "clusterrolebindings" in path]


def test_unknown_namespace_and_sandbox_that_is_not_up_are_refused(names: Names) -> None:
    with pytest.raises(UsageError, match="no namespace shpo"):
        made(names, namespace="shpo")
    names.kubeconfig.unlink()
    with pytest.raises(UsageError, match="is not up"):
        made(names)


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
