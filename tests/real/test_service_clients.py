"""Databases, queues and DNS of two sandboxes, asked by their own clients: from here, from the LAN, and from pods."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
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
from tests.real import debian_image, lan, machine
from tests.real.lan import HERE, from_there
from tests.real.machine import CommandLine, tool

pytestmark = [pytest.mark.real, pytest.mark.nightly, pytest.mark.timeout(900)]

NAME, OTHER = "test-clients", "test-clients-lan"
DB, MQ = f"db.{NAME}.sandbox.localhost", f"mq.{NAME}.sandbox.localhost"
LOCAL = "127.0.0.1"
FOLDER = Path(__file__).parent
PSQL = "/usr/lib/postgresql/17/bin/psql"
WHO = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
DNS = "kubernetes.default.svc.cluster.local"
MANY = 1000


@dataclass(frozen=True)
class Shop:
    """A sandbox and where its Services are."""

    names: Names
    command: CommandLine
    https: int

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.names.kubeconfig)

    def places(self, service: str) -> list[str]:
        return self.command("edge", "url", service, "-n", self.names.name).out.split()

    def address(self, service: str, port: int) -> str:
        """The address of a Service as a load balancer."""
        wait_until(lambda: None if self.balanced(service) else "pending", what=service, timeout=30)
        (found,) = self.balanced(service)
        assert f"tcp://{found}:{port}" in self.places(service)
        return found

    def balanced(self, service: str) -> list[str]:
        namespace, _, name = service.partition("/")
        live = self.cluster.get("v1", "Service", name, namespace) or {"status": {}}
        return [one["ip"] for one in live["status"].get("loadBalancer", {}).get("ingress") or ()]

    def in_pod(self, app: str, *words: str, status: int | None = 0) -> str:
        """What a program in a pod of `app` prints."""
        pods = self.cluster.list("v1", "Pod", "shop", selector=f"app={app}")
        inside = ("exec", "--namespace=shop", pods[0]["metadata"]["name"], "--")
        return machine.kubectl(self.names.kubeconfig, *inside, *words, status=status).strip()


@dataclass(frozen=True)
class Shops:
    """A sandbox on the loopback, with a program at its every port, and one on this machine's address in the LAN."""

    local: Shop
    open: Shop
    db: int
    mq: int
    echo: int
    root: Path


def brought_up(folder: Path, name: str, registry: int, https: int, **spec: Any) -> Shop:
    command = CommandLine({"KUBECONFIG": str(folder / "kubeconfig")}, folder)
    edge = {"ports": [https], **spec.pop("edge")}
    cache = {
        "chart": str(FOLDER / "charts" / "cache"),
        "namespace": "shop",
        "set": {"image.repository": f"localhost:{registry}/valkey", "image.tag": "1"},
    }
    apply = [cache, *spec.pop("apply", [])]
    whole = {"name": name, "registry": {"port": registry}, "push": "images.yaml", "apply": apply, "edge": edge, **spec}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(whole))
    command("up", "-f", f"{name}.yaml")
    return Shop(context.home().sandbox(name), command, https)


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shops]:
    machine.engine()
    machine.need("dig", "mosquitto_pub", "mosquitto_sub", "nc", "openssl", "psql", "redis-cli")
    https, one, other, db, mq, echo = machine.free_ports(9460, 5028, 5029, 15432, 11883, 17007)
    folder = tmp_path_factory.mktemp("clients")
    command = CommandLine({"KUBECONFIG": str(folder / "kubeconfig")}, folder)
    command("bundle", "build", "valkey", "helm", timeout=1200)
    (folder / "valkey.tar").symlink_to(Store(context.home().bundle).image(recipes()["valkey"]))
    for image in (debian_image.POSTGRES, debian_image.MOSQUITTO):
        (folder / f"{image.name}.tar").symlink_to(image.archive())
    images = [
        {"from": "archive", "path": f"{name}.tar", "as": f"{name}:1"} for name in ("valkey", "postgres", "mosquitto")
    ]
    (folder / "images.yaml").write_text(yaml.safe_dump({"images": images}))
    objects = (FOLDER / "shop.yaml").read_text()
    (folder / "shop.yaml").write_text(objects.replace("REGISTRY", f"localhost:{one}"))
    certs = {"secrets": [{"secret": "servers-tls", "namespace": "shop", "hosts": [DB, MQ]}]}
    tcp = [
        {"port": db, "to": "shop/db:5432"},
        {"port": mq, "to": "shop/mq:mqtt"},
        {"port": echo, "to": "shop/echo:7007"},
    ]
    tls = [{"host": DB, "to": "shop/db:5432"}, {"host": MQ, "to": "shop/mq:mqtts"}]
    there = {
        "listen": HERE,
        "tcp": [{"port": db, "to": "shop/cache:6379"}],
    }
    with lan.network():
        try:
            local = brought_up(
                folder, NAME, one, https, apply=["shop.yaml"], certs=certs, edge={"tcp": tcp, "tls": tls}
            )
            opened = brought_up(folder, OTHER, other, https, edge=there)
            tool("docker", "load", "--input", folder / "postgres.tar")
            tool("docker", "load", "--input", folder / "mosquitto.tar")
            yield Shops(local, opened, db, mq, echo, local.names.root_certificate)
        finally:
            command("down", OTHER, "--purge")
            command("down", NAME, "--purge")


def psql(*where: str) -> str:
    return tool("psql", *where, "--username=app", "--dbname=postgres", "--tuples-only", f"--command={WHO}").strip()


def in_client(shops: Shops, image: str, *words: str, name: str) -> list[str]:
    """The command of a client of a release that this machine has not, on this machine's own network."""
    mounts = ["--volume", f"{shops.root}:/root.crt:ro", "--add-host", f"{name}:{LOCAL}"]
    return ["docker", "run", "--rm", "--network=host", *mounts, f"{image}:1", *words]


def said(subscriber: Sequence[str], publisher: Sequence[str]) -> str:
    retained = (*publisher, "--retain", "--topic", "lamp", "--message", "on")
    tool(*retained)
    return tool(*subscriber, "--topic", "lamp", "-C", "1", "-W", "20").strip()


def ping(*where: str) -> str:
    return tool("redis-cli", *where, "ping").strip()


def test_postgres_is_asked_by_port_and_by_address(shops: Shops) -> None:
    assert psql(f"--host={LOCAL}", f"--port={shops.db}") == "t"
    assert psql(f"--host={shops.local.address('shop/db', 5432)}") == "t"


def test_postgres_is_asked_by_name_on_the_https_port(shops: Shops) -> None:
    where = f"host={DB} port={shops.local.https} user=app dbname=postgres sslnegotiation=direct"
    trust = "sslmode=verify-full sslrootcert=/root.crt"
    assert tool(*in_client(shops, "postgres", PSQL, f"{where} {trust}", "-Atc", WHO, name=DB)).strip() == "t"
    probe = [
        "openssl",
        "s_client",
        "-connect",
        f"{LOCAL}:{shops.local.https}",
        "-servername",
        DB,
        "-verify_return_error",
    ]
    assert "ALPN protocol: postgresql" in tool(*probe, "-CAfile", shops.root, "-alpn", "postgresql")


def test_queue_is_asked_by_port_by_address_and_by_name(shops: Shops) -> None:
    address = shops.local.address("shop/mq", 1883)
    for where in ((LOCAL, shops.mq), (address, 1883)):
        place = ["-h", where[0], "-p", str(where[1])]
        assert said(["mosquitto_sub", *place], ["mosquitto_pub", *place]) == "on"
    secured = ["-h", MQ, "-p", str(shops.local.https), "--cafile", "/root.crt"]
    client = partial(in_client, shops, "mosquitto", name=MQ)
    assert said(client("mosquitto_sub", *secured), client("mosquitto_pub", *secured)) == "on"


def test_chart_of_the_public_is_reached_as_it_is(shops: Shops) -> None:
    assert ping("-h", shops.local.address("shop/cache", 6379)) == "PONG"


def test_two_sandboxes_have_the_same_port_at_their_own_addresses(shops: Shops) -> None:
    mine, theirs = (shop.address("shop/cache", 6379) for shop in (shops.local, shops.open))
    tool("redis-cli", "-h", mine, "set", "whose", "mine")
    tool("redis-cli", "-h", theirs, "set", "whose", "theirs")
    assert tool("redis-cli", "-h", mine, "get", "whose").strip() == "mine"
    assert tool("redis-cli", "-h", HERE, "-p", str(shops.db), "get", "whose").strip() == "theirs"
    assert psql(f"--host={LOCAL}", f"--port={shops.db}") == "t"  # the same port, on another address of this machine


def test_lan_reaches_what_is_open_to_it_and_no_more(shops: Shops) -> None:
    code, answer = from_there("redis-cli", "-h", HERE, "-p", str(shops.db), "ping")
    assert (code, answer.strip()) == (0, "PONG")
    asked = ["dig", "+short", "+tries=3", "+time=2", "-p", "15353", f"@{HERE}", DNS]
    assert from_there(*asked) == (0, "10.96.0.1\n")
    script = f"printf 'hello\\n' | nc -N -w 3 {HERE} {shops.echo}"
    assert from_there("sh", "-c", script)[0] != 0


def test_netcat_sends_and_receives_until_its_end_is_closed(shops: Shops) -> None:
    whole = "".join(f"line {number}\n" for number in range(20_000))
    assert tool("nc", "-N", "-w", "20", LOCAL, str(shops.echo), stdin=whole) == whole


def test_thousand_silent_and_half_open_clients_disturb_no_one(shops: Shops) -> None:
    place = ["-h", LOCAL, "-p", str(shops.mq)]
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection((LOCAL, shops.mq), timeout=30)) for _ in range(MANY)]
        for client in clients[::2]:
            client.shutdown(socket.SHUT_WR)
        assert said(["mosquitto_sub", *place], ["mosquitto_pub", *place]) == "on"
        assert psql(f"--host={LOCAL}", f"--port={shops.db}") == "t"


def test_pods_reach_services_by_name_and_by_address(shops: Shops) -> None:
    address = shops.local.address("shop/db", 5432)
    for host in (f"db.shop.svc.{NAME}.sandbox.localhost", DB, address):
        assert shops.local.in_pod("db", PSQL, "-h", host, "-U", "app", "-d", "postgres", "-Atc", WHO) == "t"
    mq = f"mq.shop.svc.{NAME}.sandbox.localhost"
    shops.local.in_pod("mq", "mosquitto_pub", "-h", mq, "-t", "lamp", "-m", "on")


def test_status_lists_every_service_with_its_places(shops: Shops) -> None:
    found = json.loads(shops.local.command("status", NAME, "-o", "json").out)["services"]
    services = {one["service"]: one for one in found}
    assert set(services) == {"shop/db", "shop/mq", "shop/echo", "shop/cache"}
    assert services["shop/db"]["name"] == f"db.shop.svc.{NAME}.sandbox.localhost"
    assert services["shop/db"]["places"][:2] == [f"tcp://{LOCAL}:{shops.db}", f"tls://{DB}:{shops.local.https}"]
    for service in services:
        rows = shops.local.command.doctor("service", service, NAME, status=0)
        assert {one["status"] for one in rows.values()} <= {"ok", "skipped"}


def test_auto_takes_the_next_port_of_one_that_is_taken(shops: Shops) -> None:
    port, _ = machine.free_ports(6379, 6380)
    with socket.create_server((LOCAL, port)):
        added = shops.local.command("edge", "port", "add", "auto", f"shop/cache:{6379}", "-n", NAME).out
    chosen = int(added.split()[0].rpartition(":")[2])
    try:
        assert chosen != port and ping("-p", str(chosen)) == "PONG"
    finally:
        shops.local.command("edge", "port", "remove", str(chosen), "-n", NAME)


def test_host_of_tls_is_refused_to_ingress_and_other_sandbox(shops: Shops, tmp_path: Path) -> None:
    spec: dict[str, Any] = {
        "name": "test-clients-third",
        "registry": {"port": "auto"},
        "edge": {"ports": [shops.local.https], "tls": [{"host": DB, "to": "shop/db:5432"}]},
    }
    (tmp_path / "sandbox.yaml").write_text(yaml.safe_dump(spec))
    ran = shops.local.command("up", "-f", tmp_path / "sandbox.yaml", status=2)
    assert f"{DB} belongs to the sandbox '{NAME}'" in ran.err
    host = "db.test-clients-third.sandbox.localhost"
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web"},
        "spec": {"rules": [{"host": host}]},
    }
    (tmp_path / "web.yaml").write_text(yaml.safe_dump(ingress))
    spec |= {"apply": ["web.yaml"], "edge": {**spec["edge"], "tls": [{"host": host, "to": "shop/db:5432"}]}}
    (tmp_path / "sandbox.yaml").write_text(yaml.safe_dump(spec))
    ran = shops.local.command("up", "-f", tmp_path / "sandbox.yaml", status=2)
    assert f"{host} is a host of Ingress web and of `edge.tls`" in ran.err
    assert context.home().sandbox("test-clients-third").spec.exists() is False
