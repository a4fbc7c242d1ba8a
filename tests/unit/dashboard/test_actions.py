"""What the page has done: logs and restarts in the sandboxes of this user, and in nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.app import context
from sandbox.dashboard import actions
from sandbox.dashboard.sandbox_state import pod_state
from sandbox.errors import SandboxError
from tests.support.api_server import ApiServer, kubeconfig

POD: dict[str, Any] = {
    "metadata": {
        "namespace": "shop",
        "name": "web-5d8f-x2",
        "labels": {"pod-template-hash": "5d8f"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d8f"}],
    },
    "status": {"containerStatuses": [{"name": "web", "ready": True}, {"name": "side", "ready": True}]},
}


@pytest.fixture
def cluster(server: ApiServer) -> ApiServer:
    """The cluster of the sandbox `demo`, with a pod of two containers."""
    names = context.home().sandbox("demo")
    names.folder.mkdir(parents=True, exist_ok=True)
    kubeconfig(names.kubeconfig, server.server_port)
    server.kinds["/api/v1"]["Pod"] = ("pods", True)
    server.objects["/api/v1/namespaces/shop/pods/web-5d8f-x2"] = POD
    return server


def test_logs_are_those_of_each_container(cluster: ApiServer) -> None:
    assert actions.logs("demo", "shop/web-5d8f-x2") == "── web\nlast words\n\n── side\nlast words"


@pytest.mark.security(6)
@pytest.mark.parametrize(
    ("sandbox", "pod"), [("other", "shop/web-5d8f-x2"), ("../demo", "a/b"), ("demo", "shop"), ("demo", "../../x/y")]
)
def test_only_pods_of_own_sandboxes_have_logs(cluster: ApiServer, sandbox: str, pod: str) -> None:
    with pytest.raises(SandboxError):
        actions.logs(sandbox, pod)
    assert not [path for _, path, *_ in cluster.asked if "log" in path]


def test_restart_of_nothing_is_an_error(cluster: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(SandboxError):
        actions.restart("demo", "shop/deployment/none")


def test_pod_names_its_workload() -> None:
    assert pod_state(POD)["workload"] == "shop/deployment/web"
    bare = {"metadata": {"namespace": "shop", "name": "one"}}
    assert pod_state(bare)["workload"] == ""
    owner = [{"kind": "StatefulSet", "name": "db"}]
    assert pod_state({"metadata": {**bare["metadata"], "ownerReferences": owner}})["workload"] == "shop/statefulset/db"
