"""Errors of the engine, how long requests to it may take, and answers that are kept."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from docker.errors import APIError
from docker.utils.json_stream import json_stream

from sandbox.engine import Engine
from sandbox.engine.base import EngineError, EngineGone, translated
from sandbox.engine.endpoint import Endpoint
from sandbox.errors import MissingTool


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    return Engine(Endpoint("unix:///nowhere.sock", "DOCKER_HOST"))


def test_engine_that_ends_within_an_answer_went_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is restarted while it pulls, makes a network or is waited for → that it went away, in words."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("docker.sock")
        listening.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
        place = Endpoint(f"unix://{tmp_path}/docker.sock", "DOCKER_HOST")
        calls: dict[str, Callable[[], object]] = {
            "Transfer-Encoding: chunked\r\n\r\n10\r\n{": lambda: Engine(place).pull("busybox:1"),
            "Content-Length: 0\r\n\r\n": lambda: Engine(place).create_network("net", {}),
            "Content-Length: 1\r\n\r\n{": lambda: Engine(place).wait("box"),
        }
        for answer, call in calls.items():
            answering = threading.Thread(target=_answer, args=(listening, answer))
            answering.start()
            with pytest.raises(EngineGone, match="the Docker Engine went away"):
                call()
            answering.join(30)


def _answer(listening: socket.socket, answer: str) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(1 << 16)
        connection.sendall(f"HTTP/1.1 200 OK\r\n{answer}".encode())


def test_files_of_this_machine_are_not_the_engine(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        engine.load(tmp_path / "gone.tar")
    with pytest.raises(FileNotFoundError):
        engine.copy_file("node", tmp_path / "gone.tar", PurePosixPath("/"))
    for number in (errno.ENOSPC, errno.EMFILE):
        with pytest.raises(OSError, match=os.strerror(number)), translated("saving"):
            raise OSError(number, os.strerror(number))


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("userland proxy: listen tcp4 127.0.0.1:36309: bind: address already in use", "ss -ltnp 'sport = :36309'"),
        ("endpoint demo (7582): Bind for 127.0.0.1:36309 failed: port is already allocated", "'sport = :36309'"),
        ("rootlessport listen tcp [::1]:36309: bind: address already in use", "'sport = :36309'"),
        ("write /x: no space left on device", "docker system df"),
    ],
)
def test_error_of_the_engine_has_a_fix_for_a_taken_port_or_a_full_disk(said: str, fix: str) -> None:
    """Another program takes the API server's port of a stopped node → the engine's error, and how to see whose."""
    with pytest.raises(EngineError) as caught, translated("starting container demo"):
        raise APIError(said)
    assert caught.value.details == said and fix in caught.value.fix
    with pytest.raises(EngineError, match="pulling busybox failed"), translated("pulling busybox"):
        list(json_stream(iter(["<html>"])))


def test_unreadable_docker_account_is_reported(engine: Engine, isolated_home: Path) -> None:
    config = isolated_home / ".docker" / "config.json"
    config.parent.mkdir()
    config.write_text('{"auths": {"r.example": {"auth": "bm8gY29sb24="}}}')
    with pytest.raises(MissingTool) as caught, engine.api("building"):
        pass
    assert caught.value.id == "engine-unreachable" and "config.json" in caught.value.fix
