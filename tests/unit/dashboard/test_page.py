"""What the page says of clusters and of pods, and what it has done: logs and restarts in this user's sandboxes only."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.app import context
from sandbox.components.edge import routes
from sandbox.components.edge.route import Route
from sandbox.config.schema import ResolvedSpec
from sandbox.dashboard import page
from sandbox.dashboard.page import pod_state, sandboxes
from sandbox.engine import ContainerSpec
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.plan import saved_spec
from sandbox.step import Status, Step
from tests.support.api_server import ApiServer, kubeconfig
from tests.support.fakes import NETWORK, FakeEngine

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    spec = {"nodeName": "node", "initContainers": [{"image": "a:1"}], "containers": [{"name": "web", "image": "b:1"}]}
    return {"metadata": {"name": "web", "namespace": "shop", **metadata}, "spec": spec, "status": status}


POD = pod(
    {"containerStatuses": [{"name": "web", "ready": True}, {"name": "side", "ready": True}]},
    name="web-5d8f-x2",
    labels={"pod-template-hash": "5d8f"},
    ownerReferences=[{"kind": "ReplicaSet", "name": "web-5d8f"}],
)


def test_pod_is_ready_broken_pending_done_or_ending() -> None:
    ready = {"phase": "Running", "containerStatuses": [{"name": "web", "ready": True, "restartCount": 2}]}
    crash = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    broken = {"containerStatuses": [{"name": "web", "ready": False, "restartCount": 3, "state": crash}]}
    shown = {"name": "shop/web", "workload": "", "state": "ready", "detail": "", "restarts": 2}
    assert pod_state(pod(ready)) == {**shown, "images": ["a:1", "b:1"]}
    assert pod_state(pod(broken))["state"] == "broken"
    assert "CrashLoopBackOff, restarted 3 times" in pod_state(pod(broken))["detail"]
    assert pod_state(pod({"phase": "Pending"}))["state"] == "pending"
    assert pod_state(pod({"phase": "Succeeded"}))["state"] == "done"
    assert pod_state(pod(ready, deletionTimestamp="2026-11-27T03:00:00Z"))["state"] == "ending"
    assert pod_state(POD)["workload"] == "shop/deployment/web"
    owner = {"kind": "StatefulSet", "name": "db"}
    assert pod_state(pod(ready, ownerReferences=[owner]))["workload"] == "shop/statefulset/db"


@pytest.fixture
def cluster(server: ApiServer) -> ApiServer:
    """The cluster's API server, with the kinds that the page reads."""
    server.kinds["/api/v1"]["Event"] = ("events", True)
    server.kinds["/apis/networking.k8s.io/v1"] = {"Ingress": ("ingresses", True)}
    return server


def save_cluster(names: Names, **cluster: str) -> None:
    saved_spec.save(names, ResolvedSpec.model_validate({"name": names.name, "cluster": cluster}))


def test_existing_cluster_is_asked_of_its_namespace_only(names: Names, engine: FakeEngine, cluster: ApiServer) -> None:
    save_cluster(names, provider="existing", context="team")
    routes.save(names.home.edge, Route(names.name, "demo.test", "127.0.0.1:1", (("127.0.0.1", 8443),)))
    cluster.objects["/api/v1/namespaces/sandbox-demo/pods/web"] = pod({"phase": "Pending"}, namespace="sandbox-demo")
    cluster.objects["/api/v1/namespaces/theirs/pods/web"] = pod({"phase": "Pending"}, namespace="theirs")
    (found,) = sandboxes(names.home, engine, {}, now=NOW)
    assert (found["cluster"], found["domain"], found.get("error")) == ("existing", "demo.test", None)
    assert [one["name"] for one in found["pods"]] == ["sandbox-demo/web"]
    assert found["kubectl"] == f"kubectl --kubeconfig {names.kubeconfig}"
    asked = {path for _, path, *_ in cluster.asked if path not in cluster.kinds}
    assert len(asked) == 3 and all("/namespaces/sandbox-demo/" in path for path in asked)


@pytest.mark.parametrize("provider", ["kind", "minikube"])
def test_steps_of_a_paused_sandbox_are_not_asked(
    names: Names, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    save_cluster(names, provider=provider)
    image, node = next(iter(engine.images)), names.node if provider == "kind" else names.cluster
    engine.run(ContainerSpec(name=node, image=image, command=("init",), labels={}, network=NETWORK))
    asked: list[str] = []

    def survey() -> list[tuple[Step, Status]]:
        asked.append("the cluster")
        return []

    (found,) = sandboxes(names.home, engine, {names.name: survey}, now=NOW)
    assert found["cluster"] == "running" and asked == ["the cluster"]
    assert found["kubectl"] == "kubectl --context sandbox-demo"
    running = engine.container(node)
    assert running
    monkeypatch.setattr(engine, "container", lambda _: replace(running, running=False, paused=True))
    (found,) = sandboxes(names.home, engine, {names.name: survey}, now=NOW)
    assert found["cluster"] == "paused" and asked == ["the cluster"] and "steps" not in found


@pytest.fixture
def demo(server: ApiServer) -> ApiServer:
    """The cluster of the sandbox `demo`, with a pod of two containers."""
    names = context.home().sandbox("demo")
    names.folder.mkdir(parents=True)
    kubeconfig(names.kubeconfig, server.server_port)
    server.kinds["/api/v1"]["Pod"] = ("pods", True)
    server.objects["/api/v1/namespaces/shop/pods/web-5d8f-x2"] = POD
    return server


def test_logs_are_those_of_each_container(demo: ApiServer) -> None:
    assert page.logs("demo", "shop/web-5d8f-x2") == "── web\nlast words\n\n── side\nlast words"


@pytest.mark.security(6)
@pytest.mark.parametrize(
    ("sandbox", "pod"), [("other", "shop/web-5d8f-x2"), ("../demo", "a/b"), ("demo", "shop"), ("demo", "../../x/y")]
)
def test_only_pods_of_own_sandboxes_have_logs(demo: ApiServer, sandbox: str, pod: str) -> None:
    with pytest.raises(SandboxError):
        page.logs(sandbox, pod)
    assert not [path for _, path, *_ in demo.asked if "log" in path]


def test_restart_of_nothing_is_an_error(demo: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(SandboxError):
        page.restart("demo", "shop/deployment/none")
