"""In somebody else's cluster nothing is touched that is not labelled, and everything that is labelled is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.cluster.existing.tenant import NotOurs, Tenant, counted
from sandbox.names import LABEL
from tests.support.api_server import ApiServer, kubeconfig, serving

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "elsewhere"}}
PATH = "/api/v1/namespaces/mine/configmaps/a"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serving() as server:
        yield server


@pytest.fixture
def tenant(server: ApiServer, tmp_path: Path) -> Tenant:
    return Tenant(kubeconfig(tmp_path / "kubeconfig", server.server_port), "mine", "demo")


def test_what_is_made_is_in_the_namespace_and_labelled(server: ApiServer, tenant: Tenant) -> None:
    tenant.apply(MAP)
    assert server.objects[PATH]["metadata"] == {"name": "a", "namespace": "mine", "labels": {LABEL: "demo"}}
    tenant.apply({**MAP, "data": {"x": "y"}})
    assert server.objects[PATH]["data"] == {"x": "y"}


@pytest.mark.parametrize(("labels", "whose"), [({}, "somebody else"), ({LABEL: "other"}, "the sandbox 'other'")])
def test_what_somebody_else_made_is_refused(
    server: ApiServer, tenant: Tenant, labels: dict[str, str], whose: str
) -> None:
    theirs = {**MAP, "metadata": {"name": "a", "namespace": "mine", "labels": labels}}
    server.objects[PATH] = theirs
    with pytest.raises(NotOurs, match=whose):
        tenant.apply(MAP)
    assert server.objects[PATH] == theirs


def test_all_of_ours_is_found_and_nothing_that_others_or_controllers_made(server: ApiServer, tenant: Tenant) -> None:
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
