"""What is asked of the machine, nodes and cluster, and what of it is left out because it may be secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from sandbox.engine import ContainerSpec
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.plan import providers
from sandbox.support_bundle import support_archive as parts
from sandbox.support_bundle.support_archive import LARGEST, PROBLEMS, gather
from tests.support.api_server import ApiServer
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine
from tests.support.memory_nodes import Nodes

POD = {
    "metadata": {
        "name": "web-1",
        "namespace": "demo",
        "managedFields": [{"manager": "x"}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "canary", "kept": "yes"},
    },
    "spec": {"containers": [{"name": "app", "env": [{"name": "DB", "value": "canary"}, {"name": "B"}]}]},
    "status": {"initContainerStatuses": [{"name": "first"}], "containerStatuses": [{"name": "app", "restartCount": 2}]},
}


@pytest.fixture
def cluster(server: ApiServer, names: Names) -> Cluster:
    server.objects["/api/v1/pods/web-1"] = POD
    return Cluster(names.kubeconfig)


def test_objects_come_without_what_may_be_secret(cluster: Cluster, server: ApiServer) -> None:
    del server.kinds["/api/v1"]["Event"]
    found = dict(parts.objects(cluster, None))
    (pod,) = json.loads(found["objects/Pod.json"])
    assert "canary" not in found["objects/Pod.json"]
    assert pod["metadata"] == {"name": "web-1", "namespace": "demo", "annotations": {"kept": "yes"}}
    assert pod["spec"]["containers"][0] == {"name": "app", "env": [{"name": "DB"}, {"name": "B"}]}
    assert "Event" in found["objects/Event.txt"]
    assert not any("Secret" in path for path in found)


def test_logs_of_every_container_include_those_before_restart(cluster: Cluster, server: ApiServer) -> None:
    folder = "pods/demo/web-1"
    assert dict(parts.pods(cluster, None)) == dict.fromkeys(
        (f"{folder}/first.log", f"{folder}/app.log", f"{folder}/app-before.log"), "last words\n"
    )
    assert server.asked[-1][3] == {"tailLines": [str(parts.POD_LINES)], "container": ["app"], "previous": ["true"]}


def test_each_node_that_runs_is_asked(engine: FakeEngine, names: Names) -> None:
    Nodes(engine).add(names, names.node, "control-plane")
    engine.programs["journalctl"] = lambda box, argv: (0, f"said by {argv[2]}")
    found = dict(parts.nodes(providers.nodes(engine, names)))
    assert found[f"nodes/{names.node}/kubelet.log"] == "said by --unit=kubelet"
    assert "not found" in found[f"nodes/{names.node}/disk.txt"]  # and nothing else is lost for it


def test_existing_cluster_is_read_only_within_the_namespace(cluster: Cluster, server: ApiServer) -> None:
    server.objects["/api/v1/namespaces/mine/pods/app"] = {**POD, "metadata": {"name": "app", "namespace": "mine"}}
    found = dict(parts.objects(cluster, "mine")) | dict(parts.pods(cluster, "mine"))
    assert {one["metadata"]["name"] for one in json.loads(found["objects/Pod.json"])} == {"app"}
    assert "pods/mine/app/app.log" in found and not any("web-1" in path for path in found)
    asked = [path for _, path, _, _ in server.asked if path not in server.kinds]
    assert asked and all("/namespaces/mine/" in path or path.endswith("/v1") for path in asked)


def test_container_that_goes_meanwhile_costs_no_other(engine: FakeEngine, names: Names) -> None:
    for name in ("one", "two"):
        spec = ContainerSpec(name=name, image="image:1", command=("x",), labels=names.labels, network=NETWORK)
        engine.add(FakeContainer(spec, "image:1", log=f"said by {name}"))
    collecting = parts.containers(engine, names.home)
    next(collecting)
    del engine.boxes["one"]
    found = dict(collecting)
    assert "No such container" in found["containers/one.log"]
    assert found["containers/two.log"] == "said by two"


def test_part_that_breaks_or_hangs_keeps_its_output_and_does_not_block_the_others() -> None:
    ended = threading.Event()

    def broken() -> Iterator[tuple[str, str]]:
        yield "half.txt", "what came first"
        raise ZeroDivisionError("by zero")

    def hangs() -> Iterator[tuple[str, str]]:
        yield "first.txt", "came"
        ended.wait(30)
        yield "late.txt", "never"

    long = ("a/b.txt", "x" * LARGEST + "the end")
    found = gather({"good": lambda: iter([long]), "broken": broken, "hangs": hangs}, seconds=0.3)
    ended.set()
    problems = found.pop(PROBLEMS)
    assert found == {"a/b.txt": long[1][-LARGEST:], "half.txt": "what came first", "first.txt": "came"}
    assert "broken: ZeroDivisionError: by zero\n" in problems and "hangs: not finished within 0.3 s" in problems
