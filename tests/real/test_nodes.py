"""Several nodes: pods of all talk to each other and are reached, whichever node is lost, moved, recreated or added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import yaml

from sandbox.app import context
from sandbox.bundle import system_images
from sandbox.components.edge.container import EdgeContainer
from sandbox.config.schema import Spec
from sandbox.engine import ContainerSpec, Engine
from sandbox.kube.api import Cluster
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.machine import CommandLine, tool
from tests.real.served import Sandbox

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-nodes"
GUEST = "sandbox-test-nodes-guest"
HOST = f"app.{NAME}.sandbox.localhost"
LABELS = {"app": "probe"}
SPREAD = {"app": "spread"}
# Says on which node it runs, to a client that asks; each pod pulls its image from the registry.
SERVER = 'mkdir /tmp/www && echo "$NODE" > /tmp/www/index.html && exec busybox httpd -f -p 8080 -h /tmp/www'


def application(image: str) -> list[dict[str, Any]]:
    """A pod on every node, a Service before them and an Ingress before that; and two pods on different nodes."""
    env = [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
    container = {
        "name": "probe",
        "image": image,
        "imagePullPolicy": "Always",
        "command": ["busybox", "sh", "-c", SERVER],
        "env": env,
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    everywhere = [{"operator": "Exists"}]
    pod = {"tolerations": everywhere, "terminationGracePeriodSeconds": 0, "containers": [container]}
    skew = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    idle = {"name": "idle", "image": image, "command": ["busybox", "sleep", "inf"]}
    apart = {
        "tolerations": everywhere,
        "terminationGracePeriodSeconds": 0,
        "topologySpreadConstraints": [{**skew, "labelSelector": {"matchLabels": SPREAD}}],
        "containers": [idle],
    }
    backend = {"service": {"name": "probe", "port": {"number": 80}}}
    rule = {"host": HOST, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "probe"},
            "spec": {"selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}, "spec": pod}},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "spread"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": SPREAD},
                "template": {"metadata": {"labels": SPREAD}, "spec": apart},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "probe"},
            "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "probe"},
            "spec": {"rules": [rule]},
        },
    ]


@dataclass(frozen=True)
class Cast(Sandbox):
    command: CommandLine = field(default_factory=CommandLine)
    registry: int = 0

    def up(self, nodes: int) -> None:
        """Bring it up with so many nodes, and wait until each has its pod."""
        context = self.command.folder / "probe"
        context.mkdir(exist_ok=True)
        # An image of its own: the kubelet takes what was pulled under one name for no other's.
        (context / "Dockerfile").write_text("FROM sandbox.dev/busybox:latest\nLABEL of=probe\n")
        images = {"images": [{"from": "build", "context": "probe", "as": "probe:1"}]}
        (self.command.folder / "images.yaml").write_text(yaml.safe_dump(images))
        (self.command.folder / "app.yaml").write_text(
            yaml.safe_dump_all(application(f"localhost:{self.registry}/probe:1"))
        )
        spec = {
            "name": NAME,
            "cluster": {"nodes": nodes},
            "registry": {"port": self.registry},
            "edge": {"ports": [self.port]},
            "push": "images.yaml",
            "apply": ["app.yaml"],
        }
        (self.command.folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
        self.command("up")
        wait_until(partial(self.lacking, nodes), what="a pod on every node", timeout=180)

    def lacking(self, nodes: int) -> str | None:
        ready = self.pods()
        return None if len(ready) == nodes else f"only {sorted(ready)}"

    def pods(self) -> dict[str, str]:
        found = {}
        for pod in Cluster(self.names.kubeconfig).list("v1", "Pod", "default", selector="app=probe"):
            conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions") or ()}
            if conditions.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp"):
                found[pod["spec"]["nodeName"]] = pod["metadata"]["name"]
        return found

    def address(self, pod: str) -> str | None:
        found = Cluster(self.names.kubeconfig).get("v1", "Pod", pod, "default") or {}
        return (found.get("status") or {}).get("podIP")

    def apply(self, manifest: dict[str, Any]) -> None:
        file = self.command.folder / "more.yaml"
        file.write_text(yaml.safe_dump(manifest))
        machine.kubectl(self.names.kubeconfig, "apply", "--filename", str(file))

    def heard(self, labels: dict[str, str]) -> dict[tuple[str, str], str]:
        """What the pods with these labels hear from the probe of each node, by their own node and the probe's."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        found = {}
        for pod in Cluster(self.names.kubeconfig).list("v1", "Pod", "default", selector=selector):
            for node, probe in self.pods().items():
                ask = f"busybox timeout 3 busybox wget -q -O - http://{self.address(probe)}:8080/ 2>/dev/null || true"
                said = self.inside(pod["metadata"]["name"], "busybox", "sh", "-c", ask, status=None)
                found[pod["spec"]["nodeName"], node] = said.strip()
        return found

    def run_on(self, node: str, name: str, command: list[str], **more: Any) -> None:
        """Run a pod on a node, and wait until it is ready."""
        image = f"localhost:{self.registry}/probe:1"
        container = {"name": "only", "image": image, "command": command}
        spec = {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [container], **more}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
        machine.kubectl(self.names.kubeconfig, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")

    def inside(self, pod: str, *argv: str, status: int | None = 0) -> str:
        return machine.kubectl(self.names.kubeconfig, "exec", pod, "--", *argv, status=status)

    def talk(self, nodes: int) -> None:
        """Wait until the pods of so many nodes reach each other at their own addresses, and by the Service's name.

        Services and names are where nodes have just come a moment later than pods.
        """
        wait_until(partial(self.silence, nodes), what="pods that reach each other", timeout=180)

    def silence(self, nodes: int) -> str | None:
        if lacking := self.lacking(nodes):
            return lacking
        pods = self.pods()
        addresses = {node: self.address(pod) for node, pod in pods.items()}
        for pod in pods.values():
            urls = [f"http://{address}:8080/" for address in addresses.values()]
            script = "; ".join(
                f"busybox timeout 3 busybox wget -q -O - {url}" for url in [*urls, *["http://probe/"] * 4]
            )
            said = self.inside(pod, "busybox", "sh", "-c", script, status=None).split()
            each, by_name = said[: len(urls)], said[len(urls) :]
            if each != list(addresses) or len(by_name) != 4 or not set(by_name) <= set(addresses):
                return f"{pod} hears {said}"
        return None

    def unserved(self, nodes: set[str]) -> str | None:
        """Which of `nodes` no client of the edge has met yet."""
        met = {self.curl(HOST).split()[-1] for _ in range(3 * len(nodes))}
        return None if nodes <= met else f"met {sorted(met)} only"

    def wiring(self) -> str:
        return ": ".join(self.command.steps()["wiring"])


@pytest.fixture(scope="module")
def engine() -> Engine:
    return machine.engine()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Cast]:
    port, registry = machine.free_ports(9464, 5041)
    folder = tmp_path_factory.mktemp("nodes")
    command = CommandLine({"KUBECONFIG": str(folder / "kubeconfig")}, folder)
    made = Cast(context.home().sandbox(NAME), port, command, registry)
    try:
        made.up(2)
        yield made
    finally:
        command("down", NAME, "--purge", status=None)


@pytest.fixture(scope="module")
def worker(sandbox: Cast) -> str:
    return f"{sandbox.names.cluster}-worker"


@pytest.fixture(scope="module")
def second(sandbox: Cast) -> str:
    return f"{sandbox.names.cluster}-worker2"


def test_replicas_of_the_first_up_are_on_all_nodes(sandbox: Cast, worker: str) -> None:
    pods = Cluster(sandbox.names.kubeconfig).list("v1", "Pod", "default", selector="app=spread")
    assert {one["spec"]["nodeName"] for one in pods} == {sandbox.names.node, worker}


def test_pods_of_different_nodes_connect_by_address_and_name(sandbox: Cast, worker: str) -> None:
    assert set(sandbox.pods()) == {sandbox.names.node, worker}
    sandbox.talk(2)


def test_every_node_s_pods_are_reached_through_the_edge(sandbox: Cast, worker: str) -> None:
    wait_until(partial(sandbox.unserved, {sandbox.names.node, worker}), what="both", timeout=60)


def test_network_policy_denies_on_one_node_and_between_nodes(sandbox: Cast) -> None:
    def otherwise(open_to_all: bool) -> str | None:
        heard = sandbox.heard(SPREAD)
        wanted = {(own, node): node if open_to_all else "" for own, node in heard}
        return None if len(heard) == 4 and heard == wanted else str(heard)

    wait_until(partial(otherwise, open_to_all=True), what="connections", timeout=60)
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "closed"}}
    sandbox.apply({**policy, "spec": {"podSelector": {"matchLabels": LABELS}, "policyTypes": ["Ingress"]}})
    try:
        wait_until(partial(otherwise, open_to_all=False), what="no connections", timeout=60)
    finally:
        machine.kubectl(sandbox.names.kubeconfig, "delete", "networkpolicy", "closed")
    wait_until(partial(otherwise, open_to_all=True), what="connections", timeout=60)


@pytest.mark.parametrize("port", [80, 443])
def test_pod_with_host_network_answers_at_ports_of_web_servers(sandbox: Cast, worker: str, port: int) -> None:
    serve = f"mkdir /tmp/www && echo itself > /tmp/www/index.html && exec busybox httpd -f -p {port} -h /tmp/www"
    sandbox.run_on(worker, f"host-{port}", ["busybox", "sh", "-c", serve], hostNetwork=True)
    said = tool("docker", "exec", sandbox.names.node, "curl", "--silent", "--max-time", "5", f"http://{worker}:{port}/")
    assert said.strip() == "itself"


def test_pod_with_a_user_namespace_starts_with_other_owners(sandbox: Cast, worker: str) -> None:
    sandbox.run_on(worker, "namespaced", ["busybox", "sleep", "inf"], hostUsers=False)
    first, outside, _ = sandbox.inside("namespaced", "busybox", "cat", "/proc/self/uid_map").split()
    assert first == "0" and int(outside) > 65535


def test_a_node_more_joins_and_is_wired_while_all_else_stays(sandbox: Cast, worker: str, second: str) -> None:
    before = sandbox.pods()
    sandbox.up(3)
    assert {node: pod for node, pod in sandbox.pods().items() if node != second} == before
    assert sandbox.wiring().startswith("ready: wired, canary")
    sandbox.talk(3)
    wait_until(partial(sandbox.unserved, {second}), what=second, timeout=60)


def test_a_worker_that_is_killed_is_not_missed_and_comes_back(sandbox: Cast, worker: str) -> None:
    tool("docker", "kill", worker)
    for _ in range(20):
        assert sandbox.status(HOST, "--max-time", "20") == "200"
    sandbox.up(3)
    sandbox.talk(3)


def test_nodes_that_stop_and_start_keep_their_addresses(
    sandbox: Cast, engine: Engine, worker: str, second: str
) -> None:
    nodes = (sandbox.names.node, worker, second)
    before = {node: address(engine, node) for node in nodes}
    for _ in range(2):
        sandbox.command("stop")
        sandbox.command("start")
        assert {node: address(engine, node) for node in nodes} == before
    sandbox.talk(3)


def test_returning_node_gets_no_client_before_it_knows_its_hosts(sandbox: Cast, engine: Engine, worker: str) -> None:
    tool("docker", "restart", "--time", "0", worker)
    for health in ({"UP", "DOWN"}, {"UP"}):

        def otherwise(wanted: set[str] = health) -> str | None:
            assert sandbox.status(HOST, "--max-time", "20") == "200"
            found = EdgeContainer.of(engine, context.home()).control.servers()
            return None if {one.health for one in found if one.backend == NAME} == wanted else str(found)

        wait_until(otherwise, what=f"nodes that are {health}", timeout=180, pause=0.02)
    sandbox.talk(3)


def test_nodes_at_other_addresses_find_each_other_again(
    sandbox: Cast, engine: Engine, worker: str, second: str
) -> None:
    """As after a restart of the engine, when containers come back in another order."""
    nodes = (sandbox.names.node, worker, second)
    before = {node: address(engine, node) for node in nodes}
    tool("docker", "stop", "--time", "5", *nodes)
    image = session_image(engine)
    for number, node in enumerate((second, worker, sandbox.names.node)):
        guest = f"{GUEST}-{number}"
        engine.remove_container(guest)
        engine.run(
            ContainerSpec(
                name=guest, image=image, command=("busybox", "sleep", "600"), labels={}, network=sandbox.names.network
            )
        )
        tool("docker", "start", node)
    for number in range(len(nodes)):
        engine.remove_container(f"{GUEST}-{number}")
    assert all(address(engine, node) != before[node] for node in nodes)
    sandbox.up(3)
    sandbox.talk(3)
    wait_until(partial(sandbox.unserved, set(nodes)), what="all", timeout=60)


def test_a_worker_that_was_removed_is_recreated(sandbox: Cast, worker: str) -> None:
    tool("docker", "rm", "--force", "--volumes", worker)
    sandbox.up(3)
    sandbox.talk(3)
    assert sandbox.wiring().startswith("ready: wired, canary")


def test_fewer_nodes_are_refused_with_what_would_be_lost(sandbox: Cast) -> None:
    file = sandbox.command.folder / "sandbox.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "cluster": {"nodes": 1}}))
    ran = sandbox.command("up", status=1)
    assert "it was made with 1 control plane and 2 workers" in ran.err and "everything in the cluster" in ran.err
    assert "--recreate cluster" in ran.err


def address(engine: Engine, node: str) -> str:
    found = engine.container(node)
    assert found
    return next(iter(found.addresses.values()))


def session_image(engine: Engine) -> str:
    return system_images.for_spec(Spec(), context.home(), engine).references["busybox"]
