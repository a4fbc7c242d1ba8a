"""One edge for all sandboxes of a machine: two come up at once, and what clients do on the port hurts no other user."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from sandbox.app import context
from sandbox.engine import Engine, labelled
from sandbox.kube.api import Cluster, ClusterError
from sandbox.names import Names
from sandbox.oci.client import Client
from sandbox.system.wait import wait_until
from tests.real import behind, machine
from tests.real.machine import CommandLine, tool
from tests.support.http_server import Handler, serving

pytestmark = pytest.mark.real

PIECE = hashlib.sha256(b"a download").digest() * 32768
PIECES = 1000
MANY = 5000
ADDRESSES = 8
BUSYBOX = "sandbox.dev/busybox:latest"


@dataclass(frozen=True)
class Sandbox:
    names: Names
    command: CommandLine
    ports: tuple[int, int]

    @property
    def domain(self) -> str:
        return f"{self.names.name}.sandbox.localhost"

    def connect(self, host: str, *, root: Path | None = None, second: bool = False) -> ssl.SSLSocket:
        """A TLS connection as a client makes it who trusts this sandbox's root only, or `root`."""
        context = ssl.create_default_context(cafile=str(root or self.names.root_certificate))
        plain = socket.create_connection(("127.0.0.1", self.ports[second]), timeout=30)
        return context.wrap_socket(plain, server_hostname=host)

    def get(self, host: str) -> bytes:
        """The whole answer to a request for `/`."""
        with self.connect(host) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return connection.makefile("rb").read()


class _App(Handler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        host = self.headers["Host"]
        large = host.startswith("bulk.")
        said = host.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(PIECE) * PIECES if large else len(said)))
        self.end_headers()
        if not large:
            self.wfile.write(said)
            return
        for _ in range(PIECES):
            self.wfile.write(PIECE)


@contextmanager
def _app() -> Iterator[int]:
    with serving(ThreadingHTTPServer((behind.gateway(), 0), _App)) as server:
        yield server.server_port


@pytest.fixture(scope="module")
def engine() -> Engine:
    return machine.engine()


@pytest.fixture(scope="module")
def pair(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Sandbox]]:
    """Two sandboxes whose `up` begins at the same moment, as in two terminals."""
    first, second, *registries = machine.free_ports(9443, 9444, 5011, 5012)
    made = []
    children: list[subprocess.Popen[str]] = []
    for name, registry in zip(("edge-one", "edge-two"), registries, strict=True):
        folder = tmp_path_factory.mktemp(name)
        spec = {"name": name, "registry": {"port": registry}, "edge": {"ports": [first, second]}}
        (folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
        command = CommandLine({"KUBECONFIG": str(folder / "kubeconfig")}, folder)
        made.append(Sandbox(context.home().sandbox(name), command, (first, second)))
    try:
        children = [one.command.start("up", err=subprocess.STDOUT) for one in made]
        for child in children:
            said, _ = child.communicate(timeout=600)
            assert child.returncode == 0, said
        # One of the clusters may be gone by then, and its Ingresses with it.
        with suppress(ClusterError), _app() as server, ExitStack() as ingresses:
            for one in made:
                for host in (f"app.{one.domain}", f"bulk.{one.domain}"):
                    ingresses.enter_context(behind.ingress(Cluster(one.names.kubeconfig), host, server))
                    wait_until(partial(_unserved, one, host), what=host, timeout=60)
            yield made[0], made[1]
    finally:
        for child in children:
            child.kill()
            child.wait()
        for one in made:
            one.command("down", "--purge")


def _unserved(sandbox: Sandbox, host: str) -> str | None:
    try:
        with sandbox.connect(host) as connection:
            connection.sendall(f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            status = connection.recv(12)
    except OSError as error:
        return str(error)
    return None if status in (b"HTTP/1.1 200", b"HTTP/1.1 501") else status.decode()


def _registry(sandbox: Sandbox) -> int:
    return int(yaml.safe_load((sandbox.command.folder / "sandbox.yaml").read_text())["registry"]["port"])


def _ask(connection: ssl.SSLSocket, host: str) -> bytes:
    connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return connection.recv(12)


def test_each_host_reaches_its_sandbox_with_its_certificate(pair: tuple[Sandbox, Sandbox]) -> None:
    for mine, other in (pair, pair[::-1]):
        host = f"app.{mine.domain}"
        assert mine.get(host).endswith(host.encode())
        with pytest.raises(ssl.SSLCertVerificationError):
            mine.connect(host, root=other.names.root_certificate)


@pytest.mark.nightly
def test_a_download_of_a_gigabyte_arrives_whole(pair: tuple[Sandbox, Sandbox]) -> None:
    sandbox = pair[0]
    host = f"bulk.{sandbox.domain}"
    expected, got, length = hashlib.sha256(), hashlib.sha256(), 0
    for _ in range(PIECES):
        expected.update(PIECE)
    with sandbox.connect(host) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = connection.makefile("rb")
        while answer.readline().strip():
            pass
        while piece := answer.read(1 << 20):
            got.update(piece)
            length += len(piece)
    assert (length, got.digest()) == (len(PIECE) * PIECES, expected.digest())


def test_client_that_does_not_read_delays_no_other(pair: tuple[Sandbox, Sandbox]) -> None:
    sandbox = pair[0]
    host = f"bulk.{sandbox.domain}"
    with sandbox.connect(host) as slow:
        slow.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert slow.recv(12) == b"HTTP/1.1 200"
        for one in pair:
            assert one.get(f"app.{one.domain}").startswith(b"HTTP/1.1 200")


@pytest.mark.nightly
def test_new_connections_are_served_while_thousands_stay_open(pair: tuple[Sandbox, Sandbox]) -> None:
    sandbox = pair[0]
    host = f"app.{sandbox.domain}"
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], MANY + 1000), max(before[1], MANY + 1000)))
    with ExitStack() as held, ThreadPoolExecutor(32) as pool:
        opened = pool.map(lambda number: sandbox.connect(host, second=number % 2 > 0), range(MANY))
        everyone = [held.enter_context(connection) for connection in opened]
        assert sandbox.get(host).startswith(b"HTTP/1.1 200")
        # Not one was dropped to make room: all are served in the end.
        assert set(pool.map(lambda connection: _ask(connection, host), everyone)) == {b"HTTP/1.1 200"}
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_clients_without_tls_are_closed_and_others_are_served(pair: tuple[Sandbox, Sandbox]) -> None:
    sandbox = pair[0]
    with ExitStack() as opened:
        connections = []
        for sent in (b"", b"\x16\x03\x01\x02", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(4096)):
            connection = socket.create_connection(("127.0.0.1", sandbox.ports[0]), timeout=30)
            connections.append(opened.enter_context(connection))
            connection.sendall(sent)
        assert sandbox.get(f"app.{sandbox.domain}").startswith(b"HTTP/1.1 200")
        for connection in connections:
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""


@pytest.mark.security(5)
def test_a_registry_answers_to_names_of_this_machine_only(pair: tuple[Sandbox, Sandbox]) -> None:
    """A request to a registry's port names another host → 403 in the words of the distribution specification."""
    for one in pair:
        port = _registry(one)
        for host, status in (
            (f"localhost:{port}", 200),
            ("127.0.0.1", 200),
            (f"[::1]:{port}", 200),
            (f"{one.names.registry}:5000", 200),
            (f"rebound.example:{port}", 403),
            ("localhost.rebound.example", 403),
        ):
            with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                connection.request("POST", "/v2/app/blobs/uploads/", headers={"Host": host})
                answer = connection.getresponse()
                said = answer.read()
            assert answer.status == (202 if status == 200 else status), f"{host}: {said!r}"
            if status == 200:
                assert str(answer.headers["Location"]).startswith(f"http://{host}/v2/app/blobs/uploads/")
            else:
                assert json.loads(said)["errors"][0]["code"] == "DENIED"


@pytest.mark.security(5)
def test_a_registry_answers_no_web_page(pair: tuple[Sandbox, Sandbox]) -> None:
    """A page of another origin begins an upload, for which browsers ask no leave → 403; a program's is begun."""
    for headers, status in (({}, 202), ({"Origin": "https://page.example"}, 403)):
        with closing(HTTPConnection("127.0.0.1", _registry(pair[0]), timeout=30)) as connection:
            connection.request("POST", "/v2/app/blobs/uploads/", headers=headers)
            assert connection.getresponse().status == status


def test_docker_pushes_through_each_registrys_port(pair: tuple[Sandbox, Sandbox]) -> None:
    for one in pair:
        image = f"localhost:{_registry(one)}/pushed/{one.names.name}:1"
        tool("docker", "tag", BUSYBOX, image)
        try:
            tool("docker", "push", image)
            tool("docker", "image", "rm", image)
            tool("docker", "pull", image)
        finally:
            tool("docker", "image", "rm", image)
    for one, other in (pair, pair[::-1]):
        with Client(f"localhost:{_registry(one)}") as client:
            assert client.tags(f"pushed/{one.names.name}") == ("1",)
            assert client.tags(f"pushed/{other.names.name}") == ()


@pytest.mark.nightly
@pytest.mark.fault(57)
def test_restarted_node_is_found_without_a_command(pair: tuple[Sandbox, Sandbox]) -> None:
    """A node is restarted under the edge → it is served again by itself."""
    sandbox, other = pair
    tool("docker", "restart", sandbox.names.node)
    assert other.get(f"app.{other.domain}").startswith(b"HTTP/1.1 200")
    wait_until(partial(_unserved, sandbox, f"app.{sandbox.domain}"), what="the restarted node", timeout=300)


@pytest.mark.nightly
@pytest.mark.fault(26)
def test_a_node_with_another_address_is_served_after_an_up(pair: tuple[Sandbox, Sandbox], engine: Engine) -> None:
    """A node starts with another address → `up` has the edge serve it again."""
    sandbox = pair[0]
    before = _address(engine, sandbox.names.node)
    tool("docker", "stop", sandbox.names.node)
    with ExitStack() as others:
        # The engine gives a client that asks the lowest address that is free.
        for number in range(ADDRESSES):
            name = f"sandbox-test-holder-{number}"
            tool(
                "docker",
                "run",
                "-d",
                "--rm",
                "--network",
                sandbox.names.network,
                "--name",
                name,
                BUSYBOX,
                "busybox",
                "sleep",
                "600",
            )
            others.callback(tool, "docker", "kill", name)
            if _address(engine, name) == before:
                break
        tool("docker", "start", sandbox.names.node)
        assert _address(engine, sandbox.names.node) != before
        sandbox.command("up")
        wait_until(
            partial(_unserved, sandbox, f"app.{sandbox.domain}"), what="the node at its new address", timeout=300
        )


def _address(engine: Engine, name: str) -> str:
    found = engine.container(name)
    assert found is not None
    return next(iter(found.addresses.values()))


def test_sandboxes_have_two_containers_each_and_one_edge(pair: tuple[Sandbox, Sandbox], engine: Engine) -> None:
    names = ("", *(one.names.name for one in pair))  # the edge is of no sandbox
    found = {one.name for name in names for one in labelled.containers(engine, context.home(), name)}
    found |= {one.names.node for one in pair}
    registries = {one.names.registry for one in pair}
    assert found == {labelled.edge(engine, context.home()), *(one.names.node for one in pair), *registries}


@pytest.mark.fault(83)
def test_a_connection_outlives_a_port_that_comes_and_goes(pair: tuple[Sandbox, Sandbox], engine: Engine) -> None:
    """Another sandbox asks for a port and gives it back → connections of before stay open."""
    if not engine.shares_network():
        pytest.skip("this engine is not of this machine")
    sandbox, other = pair
    host, file = f"app.{sandbox.domain}", other.command.folder / "sandbox.yaml"
    spec = yaml.safe_load(file.read_text())
    (further,) = machine.free_ports(9447)
    with sandbox.connect(host) as connection:
        for ports in ([*other.ports, further], list(other.ports)):
            file.write_text(yaml.safe_dump({**spec, "edge": {"ports": ports}}))
            other.command("up")
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_the_one_that_goes_first_leaves_the_other_served(pair: tuple[Sandbox, Sandbox], engine: Engine) -> None:
    sandbox, other = pair
    wait_until(partial(_unserved, sandbox, f"app.{sandbox.domain}"), what="the one that stays", timeout=300)
    other.command("down")
    assert sandbox.get(f"app.{sandbox.domain}").startswith(b"HTTP/1.1 200")
    edge = engine.container(labelled.edge(engine, context.home()))
    assert edge is not None and edge.running
