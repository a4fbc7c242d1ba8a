"""Port-forwards of a kubectl of the test's own, in the process that keeps them running."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.components.edge import forwarder, routes
from sandbox.components.edge.route import Forward, RegistryRoute
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.system.wait import wait_until
from tests.support.programs import make_program

# Says what kubectl says, answers with its own process id, and ends as kubectl does when the file `harm` tells so.
KUBECTL = """#!{python}
import os, pathlib, socket, sys
target, ports = sys.argv[-2:]
harm = pathlib.Path({folder!r}, "harm")
if target == "service/denied":
    sys.exit("Error from server (Forbidden): pods/portforward is forbidden")
with socket.create_server(("127.0.0.1", int(ports.partition(":")[0]))) as server:
    print(f"Forwarding from 127.0.0.1:{{ports.partition(':')[0]}} -> {{ports.partition(':')[2]}}", flush=True)
    while True:
        client, _ = server.accept()
        print("Handling connection for", ports, flush=True)
        if harm.exists():
            print("an error occurred forwarding: error forwarding port 5000 to pod x", flush=True)
            harm.unlink()
        client.sendall(str(os.getpid()).encode())
        client.close()
"""


@pytest.fixture
def home(place: Home, tmp_path: Path) -> Iterator[Home]:
    make_program(tmp_path / "program", KUBECTL.format(python=sys.executable, folder=str(tmp_path)))
    forwarder.use(place, tmp_path / "program")
    (tmp_path / "kubeconfig").touch()
    yield place
    for name in ("demo", "other"):
        routes.remove(place.edge, name)
        routes.REGISTRIES.remove(place.edge, name)
    forwarder.follow(place)


def forward(tmp_path: Path, target: str = "deployment/registry") -> Forward:
    return Forward("registry", target, "5000", "team", str(tmp_path / "kubeconfig"))


def publish(home: Home, asked: Forward) -> int:
    routes.REGISTRIES.save(home.edge, RegistryRoute("demo", 5001, forward=asked))
    forwarder.follow(home)
    return asked.local


def ask(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        return connection.recv(100).decode()


@pytest.mark.fault(58)
def test_port_forward_restarts_at_its_port_after_its_pod_is_gone(home: Home, tmp_path: Path) -> None:
    """The pod behind a port-forward goes → kubectl is run again at the same port, until no route needs it."""
    port = publish(home, forward(tmp_path))
    forwarder.wait(home, "demo")
    assert forwarder.trouble(home, "demo") is None
    first = ask(port)
    (tmp_path / "harm").touch()
    ask(port)

    def unchanged() -> str | None:
        try:
            return "the first one" if ask(port) == first else None
        except OSError as error:
            return str(error)

    wait_until(unchanged, what="another kubectl", timeout=20, pause=0.1)
    routes.REGISTRIES.remove(home.edge, "demo")
    forwarder.follow(home)
    with pytest.raises(ConnectionError):
        ask(port)
    assert not forwarder.log(home).exists()


def test_forward_that_is_refused_is_an_error_with_kubectls_words(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarder, "TIMEOUT", 2.0)
    publish(home, forward(tmp_path, "service/denied"))
    with pytest.raises(SandboxError) as caught:
        forwarder.wait(home, "demo")
    assert caught.value.id == "port-forward" and "is forbidden" in caught.value.details
    forwarder.wait(home, "other")
