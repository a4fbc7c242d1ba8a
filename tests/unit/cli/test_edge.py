"""`sandbox edge` and `sandbox hosts`: the edge, hosts that are added by hand, and their names in a hosts file."""

from __future__ import annotations

import json
import os
import re
import socket
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest

from sandbox.app import context
from sandbox.app.views import overview, resolvable_names
from sandbox.app.views.overview import AnsweredHosts
from sandbox.bundle.system_images import UPSTREAM
from sandbox.cli.edge import edge
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import routes
from sandbox.components.edge.route import Forward, Port, Route
from sandbox.components.edge.step import EdgeStep, PortsStep
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import ContainerSpec, Engine
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.names import EDGE, EDGE_LEAF, Home
from sandbox.plan import saved_spec
from sandbox.step import State
from sandbox.system import hosts_file
from tests.support import in_process
from tests.support.api_server import ApiServer, kubeconfig
from tests.support.edge import edge_file, edge_step, routed
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine, NoWork, applied
from tests.support.ports import free_port
from tests.unit.cli import test_main

DOMAIN = "demo.test"
APP = f"app.{DOMAIN}"


pytestmark = pytest.mark.usefixtures("quiet")
run = partial(in_process.run, edge)


@pytest.fixture
def place() -> Home:
    return context.home()


@pytest.fixture
def step(place: Home, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> EdgeStep:
    """A sandbox on an engine in memory, whose edge is up."""
    engine.images |= {identity: identity for identity in engine.images.values()}
    monkeypatch.setattr(Engine, "connect", lambda: engine)
    names = place.sandbox("demo")
    Keystore(names.keys).authority([DOMAIN], now=datetime.now(UTC))
    step = edge_step(engine, names, DOMAIN)
    step.apply(NoWork())
    return step


def test_a_host_is_added_shown_and_removed(step: EdgeStep, place: Home) -> None:
    assert f"https://{APP}/ routes to localhost:3000" in run("route", "add", APP, "localhost:3000").output
    (added,) = json.loads(run("route", "list", "-o", "json").output)
    assert added == {"host": APP, "sandbox": "demo", "to": "localhost:3000"}
    assert "host.docker.internal:3000" in edge_file(step.engine, "haproxy.cfg")
    assert routes.read_key(place.edge, "demo")
    assert step.check().state is State.READY
    assert f"{APP} → localhost:3000" in run("route", "list").output
    told = json.loads(run("status", "-o", "json").output)
    assert (told["running"], told["ports"]) == (True, [{"address": "127.0.0.1", "port": 443}])
    ways = {way["host"]: way for way in told["routes"]}
    assert (ways[f"*.{DOMAIN}"]["mode"], ways[APP]["upstreams"]) == ("passthrough", ["localhost:3000"])
    text = run("status")
    assert f"{APP} → localhost:3000" in text.output and "health and statistics are unknown" in text.stderr
    run("route", "remove", APP)
    assert routes.ADDED_HOSTS.load(place.edge) == ()
    assert routes.read_key(place.edge, "demo") is None
    assert step.check().state is State.READY


@pytest.mark.parametrize(
    ("words", "brief"),
    [
        (("app.elsewhere.test", "localhost:1"), "no sandbox is up for app.elsewhere.test"),
        (("app.elsewhere.test", "localhost:1", "-n", "none"), "no sandbox is up for none"),
        ((f"app.other.{DOMAIN}", "localhost:3000", "-n", "demo"), "belongs to the sandbox 'other'"),
        (("app.elsewhere.test", "localhost:1", "-n", "demo"), "may not vouch for app.elsewhere.test"),
        ((APP, "localhost:70000"), "must have a port from 1 to 65535"),
        (("../x", "localhost:1"), "must be one exact host name"),
    ],
)
def test_unservable_route_is_refused_and_not_kept(
    step: EdgeStep, place: Home, words: tuple[str, ...], brief: str
) -> None:
    routes.save(place.edge, Route("other", f"other.{DOMAIN}", "node", (), 2.0))
    with pytest.raises((UsageError, click.BadParameter), match=brief):
        run("route", "add", *words)
    assert routes.ADDED_HOSTS.load(place.edge) == ()
    assert routes.load(place.edge)[0].hosts == ()
    with pytest.raises(UsageError, match="no route was added"):
        run("route", "remove", APP)


def test_a_host_waits_for_an_edge_that_does_not_run(step: EdgeStep, place: Home) -> None:
    step.engine.signal(EDGE, "SIGKILL")
    assert run("status").return_value == 1
    assert "`sandbox up` starts it" in run("route", "add", APP, "localhost:3000").stderr
    assert [one.host for one in routes.ADDED_HOSTS.load(place.edge)] == [APP]
    assert applied(step).state is State.READY


def test_a_url_is_for_this_machine_unless_others_may_come_in(step: EdgeStep, place: Home) -> None:
    assert run("url", APP, "-n", "demo").output == f"https://{APP}/\n"
    assert json.loads(run("url", APP, "-n", "demo", "-o", "json").output) == {"urls": [f"https://{APP}/"]}
    with pytest.raises(UsageError, match="only this machine reaches"):
        run("url", APP, "-n", "demo", "--qr")
    alias = "demo.192.168.1.5.nip.io"
    keystore = Keystore(place.sandbox("demo").keys)
    keystore.renew([DOMAIN, alias], {EDGE_LEAF: (alias, f"*.{alias}")}, now=datetime.now(UTC), root=True)
    routed(step, listen=(("192.168.1.5", 8443),), aliases=(alias,)).apply(NoWork())
    first, *code = run("url", APP, "-n", "demo", "--qr").output.splitlines()
    assert first == f"https://app.{alias}:8443/"
    assert len(code) > 10 and any("▀" in line for line in code)
    with pytest.raises(UsageError, match=r"does not route app\.elsewhere\.test"):
        run("url", "app.elsewhere.test", "-n", "demo")
    with pytest.raises(SandboxError, match="there is no sandbox 'gone'"):
        run("url", "-n", "gone")


@pytest.fixture
def cluster(server: ApiServer) -> ApiServer:
    """The cluster of the sandbox, with a Service."""

    def admit(manifest: dict[str, Any]) -> dict[str, Any]:
        ports = [{**one, "nodePort": 30100} for one in manifest["spec"]["ports"]]
        return {**manifest, "spec": {**manifest["spec"], "ports": ports}}

    server.admit = admit
    server.objects["/api/v1/namespaces/shop/services/db"] = {
        "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]},
    }
    return server


def test_port_is_added_listed_and_removed(step: EdgeStep, place: Home, cluster: ApiServer) -> None:
    port = free_port()
    said = run("port", "add", str(port), "shop/db:5432", "--proxy-protocol").output
    assert f"127.0.0.1:{port} → shop/db:5432   TCP, sandbox demo, PROXY protocol, added" in said
    text = edge_file(step.engine, "haproxy.cfg")
    assert f"frontend tcp:demo:{port}" in text and ":30100 send-proxy-v2" in text
    assert step.check().state is State.READY
    (found,) = json.loads(run("port", "list", "-o", "json").output)
    assert (found["port"], found["to"], found["added"], found["ready"]) == (port, "shop/db:5432", True, 0)
    assert [one["port"] for one in json.loads(run("status", "-o", "json").output)["tcp"]] == [port]
    run("port", "remove", str(port))
    assert json.loads(run("port", "list", "-o", "json").output) == []
    assert "tcp:demo" not in edge_file(step.engine, "haproxy.cfg")
    assert [path for path in cluster.objects if "sandbox-port" in path] == []
    assert step.check().state is State.READY


@pytest.mark.usefixtures("step")
def test_port_of_an_unusable_service_is_refused_with_a_fix(cluster: ApiServer) -> None:
    spec = cluster.objects["/api/v1/namespaces/shop/services/db"]["spec"]
    spec["ports"] += [{"port": 9187, "name": "metrics"}]
    with pytest.raises(UsageError, match="it has: 5432, 9187") as caught:
        run("port", "add", "7000", "shop/db")
    assert caught.value.fix == "sandbox edge port add 7000 NAMESPACE/SERVICE:PORT"
    del spec["selector"]
    with pytest.raises(UsageError, match="has no selector"):
        run("port", "add", "7000", "shop/db")


def test_port_waits_for_a_cluster_that_does_not_answer(step: EdgeStep, place: Home, cluster: ApiServer) -> None:
    kubeconfig(place.sandbox("demo").kubeconfig, free_port())
    port = free_port()
    said = run("port", "add", str(port), "shop/db:5432").output
    assert "the sandbox 'demo' is not up; this takes effect with: sandbox up demo" in said
    assert [one.port for one in routes.load(place.edge)[0].every_port] == [port]


@pytest.mark.parametrize(
    ("words", "brief"),
    [
        (("auto", "shop/later"), "because the port of this machine is auto"),
        (("443", "shop/db:5432"), "has port 443 already"),
        (("7000", "shop/db", "-n", "none"), "there is no sandbox 'none'"),
    ],
)
def test_port_that_cannot_be_is_refused(step: EdgeStep, place: Home, words: tuple[str, ...], brief: str) -> None:
    with pytest.raises(UsageError, match=brief):
        run("port", "add", *words)
    with closing(socket.create_server(("127.0.0.1", 0))) as server, pytest.raises(SandboxError) as caught:
        run("port", "add", str(server.getsockname()[1]), "shop/db:5432")
    assert caught.value.id == "port-in-use"
    assert re.search(r"or use another port: sandbox edge port add \d+ shop/db:5432;", caught.value.fix)
    assert routes.ADDED_PORTS.load(place.edge) == ()
    with pytest.raises(UsageError, match="port 7000 was not added"):
        run("port", "remove", "7000")


def test_places_of_a_service_are_shown_and_printed(step: EdgeStep, cluster: ApiServer) -> None:
    port, engine, image = free_port(), step.engine, UPSTREAM["haproxy"]
    assert isinstance(engine, FakeEngine)
    spec = ContainerSpec(name=step.names.node, image=image, command=("x",), labels={}, network=NETWORK)
    engine.add(FakeContainer(spec, engine.images[image], read_only=False))
    with pytest.raises(UsageError, match="no way to the Service shop/db"):
        run("url", "shop/db", "-n", "demo")
    run("port", "add", str(port), "shop/db:5432")
    live = cluster.objects["/api/v1/namespaces/shop/services/db"]
    live["spec"]["type"] = "LoadBalancer"
    assert "no address yet → shop/db   5432/tcp, sandbox demo" in run("status").output
    live["status"] = {"loadBalancer": {"ingress": [{"ip": "172.18.128.1"}]}}
    engine.shares = True
    assert "172.18.128.1 → shop/db   5432/tcp, sandbox demo" in run("status").output
    (found,) = json.loads(run("status", "-o", "json").output)["load_balancers"]
    assert (found["service"], found["address"], found["ports"]) == ("shop/db", "172.18.128.1", ["5432/tcp"])
    said = run("url", "shop/db", "-n", "demo").output.split()
    assert said == [f"tcp://127.0.0.1:{port}", "tcp://172.18.128.1:5432"]
    assert run("url", "shop/db:5432", "-n", "demo").output.split() == said
    engine.shares = False
    assert run("url", "shop/db", "-n", "demo").output.split() == said[:1]
    assert "172.18.128.1 → shop/db   5432/tcp, sandbox demo\n    not reached from" in run("status").output


def test_host_of_tls_is_shown_with_its_pods(step: EdgeStep, cluster: ApiServer) -> None:
    named = routed(step, ports=(Port(443, "shop/db:5432", host="db.demo.test"),))
    named.apply(NoWork())
    PortsStep(step.engine, step.names, step.image).apply(NoWork())
    assert "db.demo.test:443 → shop/db:5432   TLS, sandbox demo\n    not routed yet" in run("status").output
    found = json.loads(run("status", "-o", "json").output)
    assert ([one["host"] for one in found["tls"]], found["tcp"]) == (["db.demo.test"], [])
    assert run("url", "shop/db", "-n", "demo").output.split() == ["tls://db.demo.test:443"]


def test_ports_of_a_forwarded_cluster_are_listed_with_their_pods(
    place: Home, cluster: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an existing cluster all are in the sandbox's one namespace, whatever the spec says."""
    monkeypatch.setattr(Engine, "connect", FakeEngine)
    forward = Forward("any/db:5432", "service/db", "5432", "shop", "/kubeconfig")
    ports = (Port(5432, "any/db:5432"),)
    routes.save(place.edge, Route("demo", DOMAIN, "", (), address="127.0.0.2", forwards=(forward,), ports=ports))
    cluster.kinds["/apis/discovery.k8s.io/v1"] = {"EndpointSlice": ("endpointslices", True)}
    ends = [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}]
    labels = {"kubernetes.io/service-name": "db"}
    one = {"metadata": {"name": "db-x", "namespace": "shop", "labels": labels}, "endpoints": ends}
    cluster.objects["/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/db-x"] = one
    said = "127.0.0.2:5432 → any/db:5432   TCP, sandbox demo\n    1 pod ready\n"
    assert run("port", "list").output == said and said in run("status").output
    del cluster.objects["/api/v1/namespaces/shop/services/db"]
    assert run("port", "list").output.endswith("\n    there is no Service shop/db\n")


def test_hosts_of_a_clusters_own_ingress_have_no_port_here(
    place: Home, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An existing cluster's ingress answers at an address of its own."""
    monkeypatch.setattr(Engine, "connect", FakeEngine)
    server.kinds["/apis/networking.k8s.io/v1"] = {"Ingress": ("ingresses", True)}
    routes.save(place.edge, Route("demo", DOMAIN, "", ()))
    saved_spec.save(place.sandbox("demo"), ResolvedSpec(name="demo"))
    assert run("url", "-n", "demo").output == f"https://{DOMAIN}/\n"
    with pytest.raises(UsageError, match="hosts of 'demo' are not on this machine"):
        overview.answered_hosts("demo")


def test_edge_of_a_forwarded_cluster_is_shown(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "connect", FakeEngine)
    forward = Forward("ingress", "service/ingress", "443", "team", "/kubeconfig")
    routes.save(place.edge, Route("demo", DOMAIN, "", (("127.0.0.1", 8443),), forwards=(forward,)))
    stopped = run("status")
    assert stopped.return_value == 1 and stopped.output.startswith("the edge is not running; `sandbox up`")
    assert f"*.{DOMAIN} → the cluster's API server   passthrough, sandbox demo\n" in stopped.output
    for words, fix in (("port add 7000 shop/db", "edge: {tcp: "), (f"route add {APP} a:1", "EndpointSlice")):
        with pytest.raises(UsageError, match="'demo' is reached by kubectl port-forward") as caught:
            run(*words.split())
        assert fix in caught.value.fix


BEFORE = b"127.0.0.1 localhost\n# gr\xfc\xdf\r\n"  # not UTF-8, and an end of line as on Windows
LINES = "127.0.0.1 app.demo.sandbox.localhost  # sandbox: demo\n127.0.0.1 shop.example  # sandbox: demo\n"
LINE, *_ = LINES.splitlines()


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hosts file of a machine whose user may write it, with the sandbox `demo` up."""
    context.home().sandbox("demo").folder.mkdir(parents=True)
    file = tmp_path / "hosts"
    file.write_bytes(BEFORE)
    monkeypatch.setattr(hosts_file, "HOSTS", file)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = AnsweredHosts(("app.demo.sandbox.localhost", "shop.example"), "127.0.0.1", others=("shop.example",))
    monkeypatch.setattr(overview, "answered_hosts", lambda name: found)
    return file


def test_names_are_added_and_removed(hosts: Path, tmp_path: Path) -> None:
    ran = test_main.run("hosts", "install", "-n", "demo", cwd=tmp_path)
    assert ran.code == 2 and "error[consent]" in ran.stderr
    ran = test_main.run("hosts", "install", "-n", "demo", "--dry-run", cwd=tmp_path)
    assert ran.code == 0 and f"+ {LINE}" in ran.stdout and "$ cp FILE" in ran.stdout
    assert "note: not of the sandbox's domain" in ran.stdout and ran.stdout.count("shop.example") == 2
    assert hosts.read_bytes() == BEFORE
    ran = test_main.run("hosts", "install", "-n", "demo", "--yes", cwd=tmp_path)
    assert (ran.code, hosts.read_bytes()) == (0, BEFORE + LINES.encode())
    assert f"+ {LINE}" in ran.stderr and "no wildcards" in ran.stderr
    assert "nothing to change" in test_main.run("hosts", "install", "-n", "demo", "--yes", cwd=tmp_path).stderr
    ran = test_main.run("hosts", "uninstall", "--yes", cwd=tmp_path)
    assert (ran.code, hosts.read_bytes()) == (0, BEFORE)
    assert f"- {LINE}" in ran.stderr


def test_file_is_left_alone_without_sandbox_or_sudo_or_after_another_change(
    hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "connect", staticmethod(FakeEngine))
    with pytest.raises(SandboxError, match="there is no sandbox 'nosuch'"):
        resolvable_names.install("nosuch")
    planned = resolvable_names.install("demo")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(hosts.parent))
    with pytest.raises(MissingTool) as caught:
        resolvable_names.perform(planned, at_terminal=False)
    assert caught.value.fix == f"change {hosts} as shown above, as root" and hosts.read_bytes() == BEFORE
    hosts.write_text("127.0.0.1 other\n")
    with pytest.raises(SandboxError, match="changed meanwhile"):
        resolvable_names.perform(planned, at_terminal=False)
    assert hosts.read_text() == "127.0.0.1 other\n"
