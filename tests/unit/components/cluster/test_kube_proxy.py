"""kube-proxy that the spec configures: waited for, and quoted when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.components.cluster import kube_proxy
from sandbox.components.cluster.kind.provider import nodes as kind_nodes
from sandbox.components.cluster.kube_proxy import KubeProxyFailed, KubeProxyStep
from sandbox.kube.api import ClusterError
from sandbox.names import Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.fakes import FakeEngine, NoWork
from tests.support.memory_nodes import Nodes

DAEMON_SET = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy"
POD = "/api/v1/namespaces/kube-system/pods/kube-proxy-1"
LABELS = {"k8s-app": "kube-proxy"}
SERVICE = "/api/v1/namespaces/default/services/kubernetes"
CONNECT = ["timeout", "2", "bash", "-c", kube_proxy.CONNECT, "10.96.0.1", "443"]


@pytest.fixture
def step(names: Names, engine: FakeEngine) -> KubeProxyStep:
    """On a node that reaches Services."""
    Nodes(engine).add(names, names.node, "control-plane")
    engine.programs["timeout"] = lambda box, argv: (0 if list(argv) == CONNECT else 124, "")
    return KubeProxyStep(names, kind_nodes(engine, names))


def place(server: ApiServer, *, ready: int) -> None:
    """kubeadm's DaemonSet, whose pod is ready or ends again and again, and the API server's Service."""
    server.objects[SERVICE] = {
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 443}]},
    }
    server.objects[DAEMON_SET] = {
        "kind": "DaemonSet",
        "metadata": {"name": "kube-proxy", "namespace": "kube-system", "generation": 1},
        "spec": {"selector": {"matchLabels": LABELS}},
        "status": {"observedGeneration": 1, "updatedNumberScheduled": 1, "numberReady": ready},
    }
    state: dict[str, Any] = {
        "name": "kube-proxy",
        "restartCount": 5,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
    }
    server.objects[POD] = {
        "kind": "Pod",
        "metadata": {"name": "kube-proxy-1", "namespace": "kube-system", "labels": LABELS},
        "spec": {"containers": [{"name": "kube-proxy"}]},
        "status": {"containerStatuses": [] if ready else [state]},
    }


def test_kube_proxy_that_runs_on_all_nodes_is_ready(server: ApiServer, step: KubeProxyStep) -> None:
    assert step.check().state is State.DRIFTED
    place(server, ready=1)
    assert step.check().state is State.READY
    step.apply(NoWork())
    assert not step.undo()


def test_kube_proxy_is_not_ready_before_services_are_reached(
    server: ApiServer, step: KubeProxyStep, engine: FakeEngine, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(server, ready=1)
    later: Iterator[int] = iter((124, 124, 0))
    engine.programs["timeout"] = lambda box, argv: (next(later), "")
    found = step.check()
    said = f"{names.node} does not reach the Service kubernetes at 10.96.0.1:443"
    assert (found.state, found.detail) == (State.DRIFTED, said)
    step.apply(NoWork())
    assert next(later, None) is None
    monkeypatch.setattr(kube_proxy, "TIMEOUT", 0.0)
    engine.programs["timeout"] = lambda box, argv: (124, "")
    with pytest.raises(KubeProxyFailed, match="no Service is reached") as caught:
        step.apply(NoWork())
    assert said in caught.value.details


@pytest.mark.fault(98)
def test_kube_proxy_that_ends_again_and_again_is_quoted(server: ApiServer, step: KubeProxyStep) -> None:
    """kube-proxy ends with an error at each start → `up` fails with its last words, and names a mode that works."""
    place(server, ready=0)
    assert (step.check().state, step.check().detail) == (State.DRIFTED, "0 of 1 pods ready")
    with pytest.raises(KubeProxyFailed) as caught:
        step.apply(NoWork())
    assert "last words" in caught.value.details and "nftables" in caught.value.fix


def test_server_that_does_not_answer_is_not_its_fault(server: ApiServer, step: KubeProxyStep) -> None:
    place(server, ready=0)
    del server.objects[POD]
    server.shutdown()
    server.server_close()
    with pytest.raises(ClusterError) as caught:
        step.apply(NoWork())
    assert not isinstance(caught.value, KubeProxyFailed)
