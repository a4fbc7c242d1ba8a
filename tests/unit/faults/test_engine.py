"""An engine that may not be used, dies, or is silent."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from sandbox.engine import Engine, connection
from sandbox.engine.base import EngineGone, translated
from sandbox.errors import MissingTool


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
def test_engine_that_dies_during_a_call_is_reported_gone() -> None:
    """The engine hangs up during a call → "went away", and that the same command goes on from there."""
    with pytest.raises(EngineGone, match="went away") as caught, translated("listing containers"):
        raise ConnectionResetError
    assert caught.value.id == "engine-failed" and "run the same command again" in caught.value.fix


@pytest.mark.fault(4)
def test_command_ends_when_the_engine_stays_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that takes the call and says nothing, for any command → told after a quarter of a minute."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    monkeypatch.setattr(connection, "FIRST_ANSWER", 0.3)
    with closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.bind(str(tmp_path / "engine.sock"))
        silent.listen()
        with pytest.raises(MissingTool) as caught:
            Engine.connect()
    assert caught.value.id == "engine-hangs" and "restart it" in caught.value.fix
