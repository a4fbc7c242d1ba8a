"""Services of type LoadBalancer: real clients of TCP and UDP, on two nodes, over stops, restarts and changes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import yaml

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.components.addons.addon_manager import service_addresses
from sandbox.engine import Engine
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.machine import CommandLine, tool

pytestmark = [pytest.mark.real, pytest.mark.nightly, pytest.mark.timeout(900)]

NAME = "test-balancer"
DNS = "kubernetes.default.svc.cluster.local"
MANY = 1000


@dataclass(frozen=True)
class Balanced:
    names: Names
    command: CommandLine
    engine: Engine

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.names.kubeconfig)

    def service(self, name: str, namespace: str = "shop") -> dict[str, Any]:
        found = self.cluster.get("v1", "Service", name, namespace)
        assert found is not None
        return found

    def address(self, name: str, namespace: str = "shop") -> str:
        wait_until(lambda: None if self._ingress(name, namespace) else "pending", what=name, timeout=30, pause=0.1)
        return self._ingress(name, namespace)

    def _ingress(self, name: str, namespace: str) -> str:
        found = self.service(name, namespace)["status"]["loadBalancer"].get("ingress") or [{}]
        return str(found[0].get("ip", ""))

    def events(self, name: str) -> list[str]:
        found = self.cluster.list("v1", "Event", "shop")
        return [one["message"] for one in found if one["involvedObject"]["name"] == name]


def balanced(name: str, ports: list[dict[str, Any]], app: str, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    selector = {"k8s-app": app} if namespace == "kube-system" else {"app": app}
    whole = {"type": "LoadBalancer", "selector": selector, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": whole}


def redis(name: str, **spec: Any) -> dict[str, Any]:
    return balanced(name, [{"port": 6379}], "db", **spec)


def deployment(image: str, node: str) -> dict[str, Any]:
    command = ["valkey-server", "--save", "", "--protected-mode", "no"]
    probe = {"tcpSocket": {"port": 6379}, "periodSeconds": 1}
    container = {"name": "db", "image": image, "command": command, "readinessProbe": probe}
    pod = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
    }
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {**pod, "terminationGracePeriodSeconds": 2}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "db"}}, "template": template}
    metadata = {"name": "db", "namespace": "shop"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balanced]:
    engine = machine.engine()
    machine.need("dig")
    https, registry = machine.free_ports(9458, 5026)
    folder = tmp_path_factory.mktemp("balancer")
    command = CommandLine({"KUBECONFIG": str(folder / "kubeconfig")}, folder)
    command("bundle", "build", "valkey", timeout=1200)
    (folder / "valkey.tar").symlink_to(Store(context.home().bundle).image(recipes()["valkey"]))
    dns = [{"name": f"dns-{each.lower()}", "port": 53, "protocol": each} for each in ("UDP", "TCP")]
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
        deployment(f"localhost:{registry}/valkey:1", f"sandbox-{NAME}-worker"),
        balanced("dns", [*dns, {"name": "metrics", "port": 9153}], "kube-dns", "kube-system"),
        redis("db"),
        redis("near", externalTrafficPolicy="Local"),
        balanced("web", [{"name": f"p{port}", "port": port, "targetPort": 6379} for port in (80, 443)], "db"),
    ]
    spec = {
        "name": NAME,
        "registry": {"port": registry},
        "cluster": {"nodes": {"workers": 1}},
        "push": "images.yaml",
        "apply": ["shop.yaml"],
        "edge": {"ports": [https]},
    }
    (folder / "images.yaml").write_text(
        yaml.safe_dump({"images": [{"from": "archive", "path": "valkey.tar", "as": "valkey:1"}]})
    )
    (folder / "shop.yaml").write_text(yaml.safe_dump_all(objects))
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
    try:
        command("up")
        yield Balanced(context.home().sandbox(NAME), command, engine)
    finally:
        command("down", "--purge")


def ask(address: str, *, tcp: bool = False, status: int | None = 0) -> str:
    options = ["+short", "+tries=5", "+time=1", *(["+tcp"] if tcp else [])]
    return tool("dig", *options, f"@{address}", DNS, status=status).strip()


def ping(address: str, port: int = 6379) -> bytes:
    with socket.create_connection((address, port), timeout=20) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(100)


def test_new_service_gets_an_address_that_is_given_again(world: Balanced) -> None:
    network = world.engine.network(world.names.network)
    assert network
    given = service_addresses(network.subnet, network.lower, chosen=False)
    world.cluster.apply(redis("quick"))
    address = world.address("quick")
    assert given and ip_address(address) in given
    wait_until(lambda: answered(address), what=address, timeout=30)
    world.cluster.delete("v1", "Service", "quick", "shop")
    world.cluster.apply(redis("next"))
    assert world.address("next") == address  # it is free again
    world.cluster.delete("v1", "Service", "next", "shop")


def test_udp_and_tcp_of_one_service_are_answered(world: Balanced) -> None:
    address = world.address("dns", "kube-system")
    assert ask(address) == ask(address, tcp=True) == "10.96.0.1"
    with socket.create_connection((address, 9153), timeout=10) as metrics:
        metrics.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert metrics.recv(100).startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize("port", [80, 443])
def test_port_of_the_ingress_is_the_services_at_its_address(world: Balanced, port: int) -> None:
    address = world.address("web")
    wait_until(lambda: None if ping(address, port) == b"+PONG\r\n" else "no", what=f"port {port}", timeout=20)


def test_pods_reach_the_address_too(world: Balanced) -> None:
    pods = world.cluster.list("v1", "Pod", "shop", selector="app=db")
    words = ["exec", "--namespace=shop", pods[0]["metadata"]["name"], "--", "valkey-cli", "-h", world.address("db")]
    assert machine.kubectl(world.names.kubeconfig, *words, "ping").strip() == "PONG"


def test_a_local_service_is_answered_by_the_node_of_its_pod(world: Balanced) -> None:
    """It tells the pod who its client is; after the pod has moved the other node has the address."""
    address = world.address("near")
    network = world.engine.network(world.names.network)
    assert network
    for node in (f"sandbox-{NAME}-worker", world.names.node):
        world.cluster.apply(deployment(image_of(world), node))
        wait_until(partial(has, world, node, address), what=f"{address} on {node}", timeout=120)
        wait_until(lambda: answered(address), what=address, timeout=30)
        with socket.create_connection((address, 6379), timeout=20) as connection:
            connection.sendall(b"CLIENT LIST\r\n")
            said = connection.recv(4000).decode()
            clients = {field[5:].rpartition(":")[0] for field in said.split() if field.startswith("addr=")}
            assert connection.getsockname()[0] in clients and ip_address(connection.getsockname()[0]) in ip_network(
                network.subnet
            )
        # The other node may hear a moment later that the pod has moved, and turns clients away until then.
        wait_until(lambda: answered(world.address("db")), what="the other address", timeout=10)


def image_of(world: Balanced) -> str:
    live = world.cluster.get("apps/v1", "Deployment", "db", "shop")
    assert live is not None
    return str(live["spec"]["template"]["spec"]["containers"][0]["image"])


def has(world: Balanced, node: str, address: str) -> str | None:
    """Why this node does not answer for the address, or None."""
    found = world.cluster.list("metallb.io/v1beta1", "ServiceL2Status", "sandbox-system")
    announced = [one.get("status") or {} for one in found]
    near = [status.get("node") for status in announced if status.get("serviceName") == "near"]
    return None if near == [node] else f"{address} is on {near}"


def answered(address: str) -> str | None:
    try:
        return None if ping(address) == b"+PONG\r\n" else "another answer"
    except OSError as error:
        return str(error)


def test_a_thousand_connections_are_served_at_once(world: Balanced) -> None:
    address = world.address("db")
    wait_until(lambda: moving(world), what="the end of the pod that was on the other node", timeout=30)
    wait_until(lambda: answered(address), what=address, timeout=30)
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.create_connection((address, 6379), timeout=30)) for _ in range(MANY)]
        for connection in connections:
            connection.sendall(b"PING\r\n")
        assert [connection.recv(100) for connection in connections] == [b"+PONG\r\n"] * MANY


def moving(world: Balanced) -> str | None:
    """Why nodes may still send clients to a pod that ends, or None."""
    pods = world.cluster.list("v1", "Pod", "shop", selector="app=db")
    return None if len(pods) == 1 else f"{len(pods)} pods"


def untold(world: Balanced, name: str) -> str | None:
    return None if world.events(name) else "no event"


def test_refusals_are_events_of_the_service(world: Balanced) -> None:
    world.cluster.apply(redis("wrong", loadBalancerIP="10.1.2.3"))
    world.cluster.apply(redis("taken", loadBalancerIP=world.address("db")))
    for name, said in (("wrong", "10.1.2.3"), ("taken", "shop/db")):
        wait_until(partial(untold, world, name), what=name, timeout=30)
        assert said in world.events(name)[0]
        assert not world.service(name)["status"]["loadBalancer"]
        world.cluster.delete("v1", "Service", name, "shop")


def test_addresses_stay_over_stop_start_and_a_restarted_node(world: Balanced) -> None:
    before = {name: world.address(name) for name in ("db", "near")}
    world.command("stop", NAME)
    world.command("start", NAME)
    wait_until(lambda: answered(before["db"]), what=before["db"], timeout=120)
    tool("docker", "restart", world.names.node)
    wait_until(lambda: answered(before["db"]), what=before["db"], timeout=240)
    wait_until(lambda: answered(before["near"]), what=before["near"], timeout=120)
    assert {name: world.address(name) for name in before} == before
    dns = world.address("dns", "kube-system")
    wait_until(lambda: None if ask(dns, status=None) == "10.96.0.1" else "no answer", what=dns, timeout=240)
