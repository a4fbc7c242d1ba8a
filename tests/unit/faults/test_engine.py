"""An engine that may not be used, dies, or is silent, met by whole commands."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from sandbox.engine import Engine, connection
from sandbox.errors import MissingTool
from tests.unit.cli.test_main import run

ANSWER = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"


def serve(listener: socket.socket) -> None:
    """Answer one request, and then hang up on everybody."""
    answers = [ANSWER]
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            with client:
                if answers and client.recv(65536):
                    client.sendall(answers.pop())


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    return tmp_path / "engine.sock"


@pytest.mark.fault(2)
def test_socket_without_permission_is_distinguished(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket refuses with "Permission denied" → the group to join; never `sudo sandbox`."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refused)
    with pytest.raises(MissingTool) as caught:
        Engine.connect()
    assert caught.value.id == "engine-permission" and "group `docker`" in caught.value.fix
    assert "sudo sandbox" not in caught.value.fix


@pytest.mark.fault(3)
def test_engine_that_dies_during_a_call_is_reported_gone(path: Path, tmp_path: Path) -> None:
    """The engine answers once and then hangs up → "went away", and that the same command goes on from there."""
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        found = run("list", "-o", "json", cwd=tmp_path)
    assert found.code == 1
    assert "error[engine-failed]: " in found.stderr and "went away" in found.stderr
    assert "run the same command again" in found.stderr
    assert json.loads(found.stdout)["error"]["id"] == "engine-failed"


@pytest.mark.fault(4)
def test_command_ends_when_the_engine_stays_silent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that takes the call and says nothing, for any command → told after a quarter of a minute."""
    monkeypatch.setattr(connection, "FIRST_ANSWER", 0.3)
    with closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(MissingTool) as caught:
            Engine.connect()
    assert caught.value.id == "engine-hangs" and "restart it" in caught.value.fix
