"""Engines that are named in other ways than by a socket: `tcp://` in the clear and by TLS, `ssh://`, a context."""

from __future__ import annotations

import getpass
import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.engine import Engine, endpoint
from sandbox.errors import MissingTool
from sandbox.names import LABEL
from sandbox.system import host_network
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.application import Application
from tests.support.bundled import engine_with
from tests.support.engine_port import LOCAL, behind_a_port, certificate
from tests.support.programs import make_program

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "addressed"
OURS = f"{LABEL}={NAME}"
SSHD = Path("/usr/sbin/sshd")


def socket_of_the_engine() -> str:
    machine.engine()
    found = endpoint.find().socket
    if found is None:
        machine.leave_out("the engine of this test is named by a socket")
    return found


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Application]:
    """A sandbox, not yet up; what it left goes by the engine's own socket."""
    made = Application.free(NAME, tmp_path)
    made.write()
    yield made
    made.command("down", "--purge", "--yes", status=None)


@pytest.mark.fault(60)
@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_an_engine_behind_a_port_of_this_machine_is_whole(app: Application, tmp_path: Path, secure: bool) -> None:
    """DOCKER_HOST=tcp://127.0.0.1, with TLS or without → up, a page, a push, stop and start; the doctor is content."""
    engine_with("busybox").tag(
        engine_with("busybox").any_image("sandbox.dev/busybox") or "", "sandbox.dev/busybox:latest"
    )
    path = socket_of_the_engine()
    server = certificate(tmp_path) if secure else None
    with behind_a_port(path, server) as port, pytest.MonkeyPatch.context() as variables:
        variables.setenv("DOCKER_HOST", f"tcp://{LOCAL}:{port}")
        if secure:
            variables.setenv("DOCKER_TLS_VERIFY", "1")
            variables.setenv("DOCKER_CERT_PATH", str(tmp_path))
        app.command("up")
        assert app.page() == "first"
        assert {state for state, _ in app.command.steps().values()} == {"ready"}
        found = app.command.doctor("--seconds", "30")
        assert found["engine.reachable"]["status"] == "ok"
        app.command("stop")
        app.command("start")
        assert app.page() == "first"
        app.command("down", "--purge")


@pytest.mark.fault(60)
def test_client_certificate_that_is_missing_is_told(app: Application, tmp_path: Path) -> None:
    """An engine that asks for TLS, without the variables for it → no traceback, and where it was asked."""
    with (
        behind_a_port(socket_of_the_engine(), certificate(tmp_path)) as port,
        pytest.MonkeyPatch.context() as variables,
    ):
        variables.setenv("DOCKER_HOST", f"tcp://{LOCAL}:{port}")
        ran = app.command("up", status=4)
        assert "error[engine-unreachable]" in ran.err and f"tcp://{LOCAL}:{port}" in ran.err


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """An sshd of the test's own on the loopback address, with a key of its own; `ssh` on the PATH trusts it alone."""
    program = next((one for one in (shutil.which("sshd"), str(SSHD)) if one and Path(one).exists()), None)
    if program is None or shutil.which("ssh") is None:
        machine.leave_out("this needs sshd: the package openssh-server")
    if importlib.util.find_spec("paramiko") is None:
        machine.leave_out("docker's client speaks ssh with the Python package paramiko")
    for name in ("host", "mine"):
        machine.tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name)
    (tmp_path / "authorized").write_bytes((tmp_path / "mine.pub").read_bytes())
    port = host_network.next_free(LOCAL, 20000 + os.getpid() % 10000)
    server = f"""
Port {port}
ListenAddress {LOCAL}
HostKey {tmp_path}/host
PidFile none
AuthorizedKeysFile {tmp_path}/authorized
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
SetEnv DOCKER_HOST=unix://{socket_of_the_engine()} PATH={os.environ["PATH"]}
"""
    (tmp_path / "sshd_config").write_text(server)
    key = (tmp_path / "host.pub").read_text().split()[:2]
    (tmp_path / "known").write_text(f"[{LOCAL}]:{port} {' '.join(key)}\n")
    client = f"IdentityFile {tmp_path}/mine\nIdentitiesOnly yes\nUserKnownHostsFile {tmp_path}/known\n"
    (tmp_path / "ssh_config").write_text(client)
    wrapper = make_program(tmp_path / "bin" / "ssh", f'exec {shutil.which("ssh")} -F {tmp_path}/ssh_config "$@"')
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    Path("/run/sshd").mkdir(exist_ok=True)  # where root's gives up its rights
    daemon = subprocess.Popen([program, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=subprocess.DEVNULL)

    def silent() -> str | None:
        with socket.socket() as plain:
            return None if plain.connect_ex((LOCAL, port)) == 0 else "nothing listens"

    try:
        wait_until(silent, what="sshd", timeout=10)
        yield port
    finally:
        daemon.terminate()
        daemon.wait()


@pytest.mark.fault(60)
def test_engine_over_ssh_is_checked_and_refused(app: Application, ssh: int) -> None:
    """DOCKER_HOST=ssh:// of a machine that answers → the doctor sees its engine, and `up` refuses it."""
    version = Engine.connect().facts().version
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("DOCKER_HOST", f"ssh://{getpass.getuser()}@{LOCAL}:{ssh}")
        assert Engine.connect().facts().version == version
        ran = app.command("up", status=4)
        assert "error[engine-remote]" in ran.err
        found = app.command.doctor("--seconds", "30")
        assert found["engine.reachable"]["status"] == "error" and version in found["engine.reachable"]["evidence"]
        variables.setenv("DOCKER_HOST", f"ssh://nobody@{LOCAL}:{ssh}")
        ran = app.command("up", status=4)
        assert "Permission denied" in ran.err and "no Docker Engine answers" in ran.err
    assert Engine.connect().containers(OURS) == ()


@pytest.mark.fault(1)
def test_misspelt_context_is_an_error_for_all(app: Application) -> None:
    """DOCKER_CONTEXT names none that there is → `up` and the doctor say so, and the default engine is left alone."""
    machine.engine()
    with pytest.MonkeyPatch.context() as variables:
        variables.delenv("DOCKER_HOST", raising=False)
        variables.setenv("DOCKER_CONTEXT", "colmia")
        with pytest.raises(MissingTool):
            Engine.connect()
        ran = app.command("up", status=4)
        assert "error[engine-context]: there is no docker context 'colmia'" in ran.err
        found = app.command.doctor("--seconds", "30")["engine.reachable"]
        assert found["status"] == "error" and "colmia" in found["evidence"]
    assert Engine.connect().containers(OURS) == ()
