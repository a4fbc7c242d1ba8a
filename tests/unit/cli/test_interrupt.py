"""Ctrl-C at a terminal while whole commands wait for a user who never answers: a word, an end, and how to go on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

import sandbox
from tests.support.http_server import Handler, answering
from tests.support.images import TestImage, layer, new_save
from tests.support.terminal import CTRL_C, Terminal
from tests.unit.faults.test_engine import ANSWER

LONGEST = 10.0  # seconds that an end may take

Run = Callable[..., Terminal]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started: list[Terminal] = []

    def begin(*words: str, **env: str) -> Terminal:
        started.append(Terminal.start([sys.executable, "-m", "sandbox", *words], tmp_path, env))
        return started[-1]

    yield begin
    for one in started:
        one.give_up()


class Deaf(Handler):
    """A registry that has nothing and never answers anyone who begins an upload."""

    reached = threading.Event()
    over = threading.Event()

    def do_GET(self) -> None:
        self.reply(200 if self.path == "/v2/" else 404)

    def do_HEAD(self) -> None:
        self.reply(404)

    def do_POST(self) -> None:
        self.reached.set()
        self.over.wait(60)


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of such a registry."""
    with answering(Deaf) as server:
        yield f"127.0.0.1:{server.server_port}"
        Deaf.over.set()


def interrupted(terminal: Terminal, go_on: bytes) -> None:
    """Ctrl-C brings a word while all else still waits, and the end."""
    terminal.press(CTRL_C)
    terminal.until(lambda: b"interrupted: stopping" in terminal.shown)
    assert terminal.end(LONGEST) == 130
    assert go_on in terminal.shown and b"Traceback" not in terminal.shown


@pytest.mark.fault(5)
def test_a_push_to_a_registry_that_does_not_answer(run: Run, deaf: str, tmp_path: Path) -> None:
    """Ctrl-C while `push-images` waits for the registry → a word at once, code 130, how to go on."""
    (tmp_path / "app.tar").write_bytes(new_save({"app:dev": TestImage((layer(1, 30_000),), "app")}))
    images = {"images": [{"from": "archive", "path": "app.tar", "as": "app:dev"}]}
    (tmp_path / "images.yaml").write_text(yaml.safe_dump(images))
    terminal = run("push-images", "images.yaml", "--registry", deaf)
    terminal.until(Deaf.reached.is_set)
    interrupted(terminal, b"run `sandbox push-images` again to continue")
    assert not (tmp_path / "images.lock.yaml").exists()


@pytest.mark.fault(5)
@pytest.mark.parametrize(
    ("command", "go_on"),
    [
        ("down demo --purge", b"run `sandbox down demo --purge` again to remove the rest"),
        ("images gc", b"run `sandbox images gc` again"),
    ],
)
def test_a_command_while_the_engine_does_not_answer(run: Run, tmp_path: Path, command: str, go_on: bytes) -> None:
    """Ctrl-C while `down` or `images gc` waits for the engine → a word at once, code 130, how to go on."""
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "engine.sock"))
        listener.listen()
        terminal = run(*command.split(), DOCKER_HOST=f"unix://{tmp_path}/engine.sock")
        with listener.accept()[0] as first:
            first.recv(65536)
            first.sendall(ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        with listener.accept()[0] as second:
            second.recv(65536)
            interrupted(terminal, go_on)


@pytest.mark.fault(5)
def test_ctrl_c_while_it_starts_leaves_no_traceback(tmp_path: Path) -> None:
    """Ctrl-C before the command line is read → it ends by the signal, without a word."""
    (tmp_path / "click.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n")
    path = os.pathsep.join((str(tmp_path), str(Path(sandbox.__file__).parent.parent)))
    for argv in (["-m", "sandbox"], ["-c", "from sandbox.cli import main"]):
        ended = subprocess.run(
            [sys.executable, *argv], env={**os.environ, "PYTHONPATH": path}, capture_output=True, cwd="/", timeout=30
        )
        assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")


def test_the_command_line_leaves_ctrl_c_as_it_was() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
