"""The way out of a real cluster: through a nameserver, a proxy and to servers of the test's own on the gateway."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.app import context
from sandbox.components.certificates.authority import make_issuing, make_leaf, make_root
from sandbox.engine import Engine
from sandbox.engine.container_host import host_address
from sandbox.names import HOST
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.behind import gateway
from tests.real.machine import CommandLine, tool
from tests.real.nameserver import Nameserver
from tests.support.http_server import Handler, serving

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-outbound"
OUTSIDE = "www.outside.example"
TLS_HOST = "tls.outside.example"
UNANSWERED = f"busybox timeout 5 busybox nslookup -type=a -timeout=2 -retry=1 {OUTSIDE}. || true"


class Web(Handler):
    def do_GET(self) -> None:
        self.reply(200, b"this machine\n")

    def do_CONNECT(self) -> None:
        """A proxy that leads everybody to the test's TLS server."""
        tunnel = self.server.__dict__
        tunnel["connected"].append(self.path)
        with socket.create_connection(tunnel["target"]) as far:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_copy, args=(far, self.connection))
            back.start()
            _copy(self.connection, far)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    yield machine.engine()


@pytest.fixture(scope="module")
def nameserver(engine: Engine) -> Iterator[Nameserver]:
    here = gateway()
    with serving(Nameserver(here, {OUTSIDE: "192.0.2.7", TLS_HOST: here})) as server:
        yield server


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `roots.pem`, which the test's machine trusts, and `served.pem`, a certificate for TLS_HOST."""
    folder, now = tmp_path_factory.mktemp("roots"), datetime.now(UTC)
    root = make_root((TLS_HOST,), now=now)
    leaf = make_leaf(make_issuing(root, (TLS_HOST,), now=now), (TLS_HOST,), now=now)
    (folder / "roots.pem").write_bytes(root.cert_pem)
    (folder / "served.pem").write_bytes(leaf.key_pem + leaf.cert_pem)
    return folder


@pytest.fixture(scope="module")
def tls_port(engine: Engine, roots: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(roots / "served.pem")
    server = ThreadingHTTPServer((gateway(), 0), Web)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with serving(server):
        yield server.server_address[1]


@pytest.fixture(scope="module")
def proxy(engine: Engine, tls_port: int) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer((gateway(), 0), Web)
    server.__dict__.update(connected=[], target=(gateway(), tls_port))
    with serving(server):
        yield server


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, nameserver: Nameserver, roots: Path) -> Iterator[CommandLine]:
    """The command line next to a sandbox that is up and asks the test's nameserver."""
    folder = tmp_path_factory.mktemp("outbound")
    environ = {
        "KUBECONFIG": str(folder / "kubeconfig"),
        "SSL_CERT_FILE": str(roots / "roots.pem"),
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), ""),
    }
    run = CommandLine(environ, folder)
    https, registry = machine.free_ports(49443, 46001)
    (folder / "ports").write_text(f"{https} {registry}")
    write(run, nameservers=[nameserver.server_address[0]], hosts={"db.corp.example": "10.9.8.7"})
    run("up")
    try:
        yield run
    finally:
        run("down", "--purge")


def write(command: CommandLine, **network: Any) -> None:
    """The spec with that section `network`."""
    https, registry = map(int, (command.folder / "ports").read_text().split())
    spec = {"name": NAME, "edge": {"ports": [https]}, "registry": {"port": registry}, "network": network}
    (command.folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))


def kubectl(*argv: str, stdin: str = "") -> str:
    config = context.home().sandbox(NAME).kubeconfig
    return machine.kubectl(config, *argv, stdin=stdin)


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    found = kubectl("-n", "sandbox-system", "get", "pods", "-o", "jsonpath={..image}").split()
    return next(name for name in found if "busybox" in name)


def in_pod(image: str, script: str, *, namespace: str = "default") -> str:
    """What a new pod writes that runs `script`."""
    name = f"pod-{time.monotonic_ns()}"
    kubectl(
        *("-n", namespace, "run", name, f"--image={image}", "--restart=Never", "--command", "--"),
        *("busybox", "sh", "-c", script),
    )
    try:
        kubectl("-n", namespace, "wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=110s")
        return kubectl("-n", namespace, "logs", name)
    finally:
        kubectl("-n", namespace, "delete", "pod", name, "--now")


def rows(command: CommandLine, *arguments: str) -> dict[str, dict[str, Any]]:
    return {id.removeprefix("outbound."): row for id, row in command.doctor("network", *arguments).items()}


def statuses(found: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    return [f"{id} {row['status']}" for id, row in found.items()]


def test_pods_ask_the_nameserver_of_the_spec(command: CommandLine, nameserver: Nameserver, image: str) -> None:
    nameserver.asked.clear()
    said = in_pod(image, f"busybox nslookup -type=a {OUTSIDE}.; busybox nslookup -type=a nosuch.example. || true")
    assert "192.0.2.7" in said and "NXDOMAIN" in said
    assert OUTSIDE in nameserver.asked and "nosuch.example" in nameserver.asked


def test_hosts_of_the_spec_resolve_and_are_not_forwarded(
    command: CommandLine, nameserver: Nameserver, image: str
) -> None:
    nameserver.asked.clear()
    assert "10.9.8.7" in in_pod(image, "busybox nslookup -type=a db.corp.example.")
    assert "db.corp.example" not in nameserver.asked


def test_this_machine_is_reached_by_its_name(command: CommandLine, engine: Engine, image: str) -> None:
    names = context.home().sandbox(NAME)
    with serving(ThreadingHTTPServer((host_address(engine, names.network, names.node), 0), Web)) as server:
        assert "this machine" in in_pod(image, f"busybox wget -q -O - http://{HOST}:{server.server_address[1]}/")


def test_the_doctor_goes_all_the_way(command: CommandLine, tls_port: int) -> None:
    found = rows(command, "--to", f"{TLS_HOST}:{tls_port}")
    assert {row["status"] for row in found.values()} == {"ok"}, found
    assert f"certificate for {TLS_HOST}" in found["tls"]["evidence"]
    assert kubectl("get", "pods", "-A", "-l", "sandbox.dev/doctor", "-o", "name") == ""


def test_the_doctor_tells_a_closed_port_from_a_wrong_certificate(command: CommandLine, tls_port: int) -> None:
    with socket.create_server((gateway(), 0)) as closed:
        port = closed.getsockname()[1]
    found = rows(command, "--to", f"{TLS_HOST}:{port}")
    assert statuses(found)[-2:] == ["tcp error", "tls skipped"] and "refused" in found["tcp"]["evidence"]
    found = rows(command, "--to", f"{gateway()}:{tls_port}")
    assert statuses(found)[-2:] == ["tcp ok", "tls error"] and "mismatch" in found["tls"]["evidence"]


def test_changed_nameservers_and_names_take_effect_with_next_up(
    command: CommandLine, nameserver: Nameserver, image: str
) -> None:
    made = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.uid}")
    write(command, nameservers=["192.0.2.53"], search=["corp.example"], hosts={"db.corp.example": "10.9.8.6"})
    command("status", status=1)
    command("up")
    command("status")
    nameserver.asked.clear()
    said = in_pod(image, f"busybox cat /etc/resolv.conf; busybox nslookup -type=a db.corp.example.; {UNANSWERED}")
    assert "corp.example" in said.splitlines()[0] and "10.9.8.6" in said and "10.9.8.7" not in said
    assert "192.0.2.7" not in said and OUTSIDE not in nameserver.asked
    found = rows(command, "--to", OUTSIDE)
    assert found["dns"]["status"] == "ok" and found["name"]["status"] == "error"
    assert "nameservers" in found["name"]["fix"]
    write(command, nameservers=[nameserver.server_address[0]])
    command("up")
    assert "192.0.2.7" in in_pod(image, f"busybox nslookup -type=a {OUTSIDE}.")
    assert kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.uid}") == made


def test_company_ca_is_trusted_by_nodes_and_pods_that_ask(
    command: CommandLine, nameserver: Nameserver, roots: Path, tls_port: int
) -> None:
    node = context.home().sandbox(NAME).node
    tool("docker", "exec", node, "sh", "-c", f"echo {gateway()} {TLS_HOST} >> /etc/hosts")
    pull = ("docker", "exec", node, "crictl", "pull", f"{TLS_HOST}:{tls_port}/none:v1")

    def unrefused() -> str | None:
        output = tool(*pull, status=None)
        return None if "certificate signed by unknown authority" in output else output

    wait_until(unrefused, what="the refusal of a pull", timeout=20)  # Go reads /etc/hosts every five seconds
    kubectl("create", "namespace", "trusting")
    kubectl("label", "namespace", "trusting", "sandbox.dev/trust=true")
    write(command, nameservers=[nameserver.server_address[0]], ca=str(roots / "roots.pem"))
    command("up")
    said = tool(*pull, status=None)
    assert "certificate" not in said and "none:v1" in said
    held = kubectl("-n", "trusting", "get", "configmap", "sandbox-root", "-o", "jsonpath={.data.ca\\.crt}")
    assert (roots / "roots.pem").read_text() in held
    assert command("up", "--plan").out == ""
    write(command, nameservers=[nameserver.server_address[0]])
    command("up")
    assert "certificate signed by unknown authority" in tool(*pull, status=None)


@pytest.mark.fault(54)
def test_proxy_is_set_on_nodes_and_pods_of_labelled_namespaces(
    command: CommandLine, nameserver: Nameserver, proxy: ThreadingHTTPServer, image: str
) -> None:
    """A sandbox with a proxy → the node and pods that ask go through it."""
    here, port = proxy.server_address[:2]
    url = f"http://user:s%65cret@{here!s}:{port}"
    write(command, nameservers=[nameserver.server_address[0]], proxy={"https": url, "no_proxy": [".corp.example"]})
    said = command("up")
    assert "s%65cret" not in said.out + said.err
    node = context.home().sandbox(NAME).node
    running = "tr '\\0' '\\n' < /proc/$(systemctl show --property=MainPID --value containerd)/environ"
    assert f"HTTPS_PROXY={url}\n" in tool("docker", "exec", node, "sh", "-c", running)
    kubectl("create", "namespace", "asks")
    kubectl("-n", "asks", "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
    kubectl("label", "namespace", "asks", "sandbox.dev/proxy=true")

    def untold() -> str | None:
        env = in_pod(image, "busybox env", namespace="asks")
        told = f"https_proxy={url}\n" in env and ".svc,.cluster.local" in env and ".corp.example" in env
        return None if told else env

    wait_until(untold, what="the policy", timeout=300)  # API servers take a new one in after a moment
    assert "PROXY" not in in_pod(image, "busybox env")
    found = rows(command, "--to", TLS_HOST)
    assert statuses(found)[-2:] == ["tcp ok", "tls ok"] and "s%65cret" not in json.dumps(found)
    assert f"{TLS_HOST}:443" in proxy.__dict__["connected"]
    write(command, nameservers=[nameserver.server_address[0]])
    command("up")

    def still_told() -> str | None:
        env = in_pod(image, "busybox env", namespace="asks")
        return env if "PROXY" in env else None

    wait_until(still_told, what="the policy's end", timeout=300)
    assert "PROXY" not in tool("docker", "exec", node, "sh", "-c", running)
    command("status")
