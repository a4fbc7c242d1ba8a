"""The launcher of the scripts on nodes waits for the API server that its kubeconfig names."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

from sandbox.components import node_unit
from sandbox.system import files
from tests.support.ports import free_port
from tests.support.programs import make_program

LAUNCHER = files.packaged(node_unit.__package__, "scripts/when-served.sh")


def launched(folder: Path, server: str) -> subprocess.Popen[str]:
    """Start the launcher with a kubeconfig of this API server; its command says so when it runs."""
    admin = f"{{clusters: [{{name: kind, cluster: {{server: '{server}'}}}}]}}".encode()
    (folder / "kubeconfig").write_bytes(node_unit.kubeconfig(admin, "token"))
    make_program(folder / "sleep", "exec /bin/sleep 0.05")  # whatever it is told
    return subprocess.Popen(
        ["bash", "-c", LAUNCHER, "launcher", "echo", "runs"],
        env={"KUBECONFIG": str(folder / "kubeconfig"), "PATH": f"{folder}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(server: socket.socket) -> None:
    """Answer as an API server does to a client that does not speak TLS."""
    connection, _ = server.accept()
    with connection:
        assert connection.recv(100).startswith(b"GET /")
        connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")


def test_command_runs_at_once_where_the_api_server_serves(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = launched(tmp_path, f"https://127.0.0.1:{server.getsockname()[1]}")
        answer(server)
        assert started.communicate(timeout=30)[0] == "runs\n"


def test_command_waits_for_an_api_server_that_starts(tmp_path: Path) -> None:
    port = free_port()
    started = launched(tmp_path, f"https://127.0.0.1:{port}")
    time.sleep(0.2)
    assert started.poll() is None
    with socket.create_server(("127.0.0.1", port)) as server:
        server.accept()[0].close()  # it listens and does not serve yet
        assert started.poll() is None
        answer(server)
        assert started.communicate(timeout=30)[0] == "runs\n"


@pytest.mark.parametrize("server", ["", "unix:///run/api"])
def test_command_runs_where_no_server_is_known(tmp_path: Path, server: str) -> None:
    assert launched(tmp_path, server).communicate(timeout=30)[0] == "runs\n"


@pytest.mark.parametrize("seen", [True, False])
def test_unit_that_is_not_found_is_started_after_a_reload(tmp_path: Path, seen: bool) -> None:
    """Files of another unit may set the time of their folder back, by which systemd knows that it has read it."""
    said = tmp_path / "said"
    if seen:
        (tmp_path / "read").touch()
    does = "case $1 in is-enabled) exit 1 ;; daemon-reload) touch read ;; restart) [ -e read ] ;; esac"
    make_program(tmp_path / "systemctl", f'echo "$1" >> {said}\ncd {tmp_path}\n{does}')
    script = node_unit.START.replace(str(node_unit.UNITS), str(tmp_path / "units"))
    path = f"{tmp_path}:/usr/bin:/bin"
    subprocess.run(["sh", "-c", script, "start", "a.service"], env={"PATH": path}, check=True)
    again = [] if seen else ["daemon-reload", "restart"]
    assert said.read_text().split() == ["is-enabled", "enable", "restart", *again]
