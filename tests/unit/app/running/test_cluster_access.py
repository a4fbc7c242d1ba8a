"""The kubeconfig that reaches one sandbox only, with fewer rights."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sandbox.app.running import cluster_access
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
