"""What resumes containers of a killed `snapshot save`: only those that are paused, and no sandbox paused on purpose."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

import pytest

from sandbox.components.edge.use import Use
from sandbox.engine import Container, Engine
from sandbox.names import Home, Names
from sandbox.snapshot import resumer
from sandbox.snapshot.snapshot_save import Saving
from sandbox.snapshot.snapshot_store import Store
from sandbox.system import process
from tests.support.fakes import FakeEngine


class Nodes(FakeEngine):
    """An engine with a container that is paused and one that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.is_paused = {"paused": True, "running": False}

    def container(self, name: str) -> Container | None:
        if (paused := self.is_paused.get(name)) is None:
            return None
        return Container(
            name=name, id=name, running=not paused, image="", labels={}, addresses={}, published={}, paused=paused
        )

    def pause(self, name: str) -> None:
        self.is_paused[name] = True

    def start(self, name: str) -> None:
        assert self.is_paused[name], "it is running already"
        self.is_paused[name] = False


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig").sandbox("demo")


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    made = Nodes()
    monkeypatch.setattr(Engine, "connect", lambda *_: made)
    return made


def test_paused_containers_are_resumed(nodes: Nodes, names: Names) -> None:
    resumer.resume(names, ["paused", "running", "gone"])
    assert nodes.is_paused == {"paused": False, "running": False}


def test_sandbox_that_is_paused_on_purpose_stays_paused(nodes: Nodes, names: Names) -> None:
    names.paused.parent.mkdir(parents=True)
    names.paused.touch()
    resumer.resume(names, ["paused"])
    assert nodes.is_paused["paused"]


def test_save_is_watched_while_its_containers_are_paused(
    nodes: Nodes, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[object] = []

    @contextmanager
    def talking(argv: process.Argv, *, errors: IO[bytes]) -> Iterator[None]:
        events.append(argv)
        yield
        events.append(nodes.is_paused["running"])

    monkeypatch.setattr(process, "talking", talking)
    monkeypatch.setattr(Use, "trust_servers", lambda self, *, healthy: events.append(f"trust {healthy}"))
    running = nodes.container("running")
    assert running
    saving = Saving(engine=nodes, names=names, store=Store(names.home.snapshots), nodes=[running])
    with saving._paused(registry=False):
        assert nodes.is_paused["running"]
    assert events == [resumer.argv(names, ["running"]), "trust True", "trust False", False]


def test_process_resumes_once_its_input_ends(names: Names, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[object] = []
    monkeypatch.setattr(resumer, "resume", lambda *given: ends.append(given))
    monkeypatch.setattr(sys, "argv", [*resumer.argv(names, ["one", "two"])[3:]])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(os, "chdir", lambda _: None)
    monkeypatch.setattr(os, "umask", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    resumer.main()
    assert ends == [(names, ["one", "two"])]


def test_failure_to_resume_is_in_the_log(nodes: Nodes, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is gone as well when `save` is killed → the user finds in sandbox.log what stays paused, and why."""
    real = process.talking

    def killed(argv: process.Argv, *, errors: IO[bytes]) -> AbstractContextManager[object]:
        ended = subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=errors, timeout=60, check=False)
        assert ended.returncode == 1
        return real(("true",), errors=errors)

    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr(process, "talking", killed)
    monkeypatch.setattr(Use, "trust_servers", lambda self, *, healthy: None)
    running = nodes.container("running")
    assert running
    saving = Saving(engine=nodes, names=names, store=Store(names.home.snapshots), nodes=[running])
    with saving._paused(registry=False):
        pass
    said = names.home.log.read_text()
    assert "sandbox.snapshot.resumer: demo stays paused: " in said
    assert said.count("/nowhere/docker.sock") == 1
    assert stat.S_IMODE(names.home.log.stat().st_mode) == 0o600
