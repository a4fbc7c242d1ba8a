"""TCP ports of this machine that lead to Services: real clients and servers, over roll-outs, restarts and changes."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.machine import CommandLine, tool

pytestmark = [pytest.mark.real, pytest.mark.nightly, pytest.mark.timeout(900)]

NAME = "test-ports"
LOCAL = "127.0.0.1"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # of the PROXY protocol's version 2
MANY = 1000
TURNS = 20


@dataclass(frozen=True)
class Ports:
    """A sandbox with a database at the port `db`, and an echo that is told of clients at `echo`."""

    names: Names
    command: CommandLine
    db: int
    echo: int

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.names.kubeconfig)

    def connect(self, port: int = 0, address: str = LOCAL) -> socket.socket:
        return socket.create_connection((address, port or self.db), timeout=30)

    def ping(self, port: int = 0, address: str = LOCAL) -> bytes:
        with self.connect(port, address) as connection:
            return pong(connection)


def pong(connection: socket.socket) -> bytes:
    connection.sendall(b"PING\r\n")
    return connection.recv(100)


def workload(name: str, port: int, *, image: str, command: list[str], replicas: int) -> list[dict[str, Any]]:
    labels = {"app": name}
    probe = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    # A server that is told to end closes what it has accepted; until it is, it has left the Service for seconds.
    leaving = {"preStop": {"sleep": {"seconds": 5}}}
    container = {"name": name, "image": image, "command": command, "readinessProbe": probe, "lifecycle": leaving}
    pod = {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 7, "containers": [container]}}
    metadata = {"name": name, "namespace": "shop"}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod}
    service = {"selector": labels, "ports": [{"name": "main", "port": port}]}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    ]


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    machine.engine()
    machine.need("dig")
    https, registry, db, echo = machine.free_ports(9457, 5025, 16379, 17007)
    folder = tmp_path_factory.mktemp("ports")
    command = CommandLine({"KUBECONFIG": str(folder / "kubeconfig")}, folder)
    command("bundle", "build", "valkey", timeout=1200)
    store, known = Store(context.home().bundle), recipes()
    images = []
    for name in ("valkey", "busybox"):
        (folder / f"{name}.tar").symlink_to(store.image(known[name]))
        images.append({"from": "archive", "path": f"{name}.tar", "as": f"{name}:1"})
    prefix = f"localhost:{registry}"
    valkey = ["valkey-server", "--save", "", "--protected-mode", "no"]
    cat = ["/bin/busybox", "nc", "-ll", "-p", "7007", "-e", "/bin/busybox", "cat"]
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
        *workload("db", 6379, image=f"{prefix}/valkey:1", command=valkey, replicas=2),
        *workload("echo", 7007, image=f"{prefix}/busybox:1", command=cat, replicas=1),
    ]
    spec = {
        "name": NAME,
        "registry": {"port": registry},
        "push": "images.yaml",
        "apply": ["shop.yaml"],
        "edge": {
            "ports": [https],
            "tcp": [
                {"port": db, "to": "shop/db:6379"},
                {"port": echo, "to": "shop/echo:main", "proxy_protocol": True},
            ],
        },
    }
    (folder / "images.yaml").write_text(yaml.safe_dump({"images": images}))
    (folder / "shop.yaml").write_text(yaml.safe_dump_all(objects))
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
    try:
        command("up")
        yield Ports(context.home().sandbox(NAME), command, db, echo)
    finally:
        command("down", "--purge")


def test_port_leads_to_the_service_on_both_loopbacks(ports: Ports) -> None:
    assert ports.ping() == b"+PONG\r\n"
    assert ports.ping(address="::1") == b"+PONG\r\n"
    if shutil.which("redis-cli"):
        assert tool("redis-cli", "-p", str(ports.db), "set", "a", "b").strip() == "OK"
    found = json.loads(ports.command("edge", "port", "list", "-o", "json").out)
    assert {(one["port"], one["ready"]) for one in found} == {(ports.db, 2), (ports.echo, 1)}


def test_server_is_told_who_its_client_is(ports: Ports) -> None:
    machine.require_engine_here()  # what a virtual machine forwards has its address, and ends when a port comes
    with ports.connect(ports.echo) as connection:
        source, destination = connection.getsockname(), connection.getpeername()
        connection.sendall(b"hello")
        connection.shutdown(socket.SHUT_WR)  # what is half closed is answered whole
        said = b"".join(iter(lambda: connection.recv(1000), b""))
    assert said.startswith(SIGNATURE) and said.endswith(b"hello")
    ends = b"".join(socket.inet_aton(address) for address, _ in (source, destination))
    numbers = b"".join(port.to_bytes(2) for _, port in (source, destination))
    assert said[len(SIGNATURE) + 4 :].startswith(ends + numbers)


def test_a_thousand_connections_are_served_at_once(ports: Ports) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(ports.connect()) for _ in range(MANY)]
        for connection in connections:
            connection.sendall(b"PING\r\n")
        assert [connection.recv(100) for connection in connections] == [b"+PONG\r\n"] * MANY


def test_every_new_connection_is_served_during_a_roll_out(ports: Ports) -> None:
    before = {pod["metadata"]["name"] for pod in pods(ports)}
    failed: list[object] = []
    served, ended = [0], threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                answer: object = ports.ping()
            except OSError as error:
                answer = error
            failed.extend([answer] if answer != b"+PONG\r\n" else [])
            served[0] += 1
            time.sleep(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        live = ports.cluster.get("apps/v1", "Deployment", "db", "shop")
        assert live is not None
        again = {"spec": {"template": {"metadata": {"annotations": {"test": "again"}}}}}
        ports.cluster.change({**live, "apiVersion": "apps/v1", "kind": "Deployment"}, again)
        wait_until(lambda: "the old pods" if before & ready(ports) else None, what="the roll-out", timeout=120)
        wait_until(lambda: "the new pods" if len(ready(ports)) < 2 else None, what="the roll-out", timeout=120)
        wait_until(lambda: None if served[0] > 50 else f"{served[0]}", what="51 connections", timeout=60)
    finally:
        ended.set()
        asking.join()
    assert served[0] > 50 and failed == []


def test_connection_survives_changes_of_other_ports(ports: Ports) -> None:
    machine.require_engine_here()  # what a virtual machine forwards has its address, and ends when a port comes
    (more,) = machine.free_ports(16380)
    with ports.connect() as connection:
        for _ in range(TURNS):
            ports.command("edge", "port", "add", str(more), "shop/db:6379", "-n", NAME)
            assert (ports.ping(more), pong(connection)) == (b"+PONG\r\n", b"+PONG\r\n")
            ports.command("edge", "port", "remove", str(more), "-n", NAME)
            assert pong(connection) == b"+PONG\r\n"
            with pytest.raises(ConnectionRefusedError):
                ports.connect(more)


def test_up_has_a_port_follow_a_service_that_comes_and_changes(ports: Ports) -> None:
    (number,) = machine.free_ports(16381)
    ports.command("edge", "port", "add", str(number), "shop/later:6379", "-n", NAME)
    metadata = {"name": "later", "namespace": "shop"}
    later = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    try:
        for selector, works in (({"app": "db"}, True), ({"app": "no-such"}, False), ({"app": "db"}, True)):
            ports.cluster.apply({**later, "spec": {"selector": selector, "ports": [{"port": 6379}]}})
            ports.command("up")
            wait_until(partial(otherwise, ports, number, works=works), what=f"pods of {selector}", timeout=30)
    finally:
        ports.cluster.delete("v1", "Service", "later", "shop")
        ports.command("edge", "port", "remove", str(number), "-n", NAME)


def otherwise(ports: Ports, port: int, *, works: bool) -> str | None:
    """Why the port is not as it should be by now, or None; a client without a pod waits for one."""
    try:
        with socket.create_connection((LOCAL, port), timeout=1) as connection:
            served = pong(connection) == b"+PONG\r\n"
    except OSError:
        served = False
    return None if served == works else f"served: {served}"


def test_port_leads_there_again_after_stop_and_start(ports: Ports) -> None:
    ports.command("stop", NAME)
    ports.command("start", NAME)
    assert ports.ping() == b"+PONG\r\n"


@pytest.mark.fault(12)
def test_port_of_a_sandbox_is_refused_to_another(ports: Ports, tmp_path: Path) -> None:
    """Another sandbox wants the same port for a Service → refused before anything is made, with who has it."""
    spec = {
        "name": "test-ports-other",
        "registry": {"port": "auto"},
        "edge": {"ports": ["auto"], "tcp": [{"port": ports.db, "to": "shop/db:1"}]},
    }
    (tmp_path / "sandbox.yaml").write_text(yaml.safe_dump(spec))
    ran = ports.command("up", "-f", tmp_path / "sandbox.yaml", status=1)
    assert f"held by sandbox '{NAME}'" in ran.err
    assert context.home().sandbox("test-ports-other").spec.exists() is False


def pods(ports: Ports) -> list[dict[str, Any]]:
    return ports.cluster.list("v1", "Pod", "shop", selector="app=db")


def ready(ports: Ports) -> set[str]:
    """The pods of the database that clients may get."""
    return {
        pod["metadata"]["name"]
        for pod in pods(ports)
        if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions") or ())
    }
