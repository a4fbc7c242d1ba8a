"""Commands that are told to end, seen from the terminal they run in: what they say and leave, and how to go on."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sandbox
from sandbox.cli import error_handler
from sandbox.cli.signals import ECHO, Terminated
from tests.support.images import TestImage, layer, new_save
from tests.support.terminal import CTRL_C, Terminal, runs

ROOT = Path(__file__).parents[3]

# A command of two steps: `made` is over at once, `slow` runs a program for ever. Each is a file while it is there.
COMMAND = """
import signal, sys, time
from pathlib import Path
from sandbox.plan import lifecycle
from sandbox.cli import error_handler as boundary, signals
from sandbox.cli.output import reporter
from sandbox.system import process
from tests.support.fakes import FakeStep

class Files(set):
    def add(self, name): Path(name).touch()
    def discard(self, name): Path(name).unlink(missing_ok=True)
    def __contains__(self, name): return Path(name).exists()

def slow(work):
    process.run(["sh", "-c", "trap '' TERM; echo $$ > child; exec sleep 300"], timeout=200)

world = Files()
stuck = "stuck" in sys.argv
process.PATIENCE = 60 if stuck else 0.2
undoing = (lambda: time.sleep(60)) if stuck else (lambda: None)
plan = [FakeStep("made", world, unmaking=undoing), FakeStep("slow", world, requires=("made",), making=slow)]
if "nohup" in sys.argv:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
signals.catch("undoing", "go on: again", events="json" in sys.argv)
try:
    lifecycle.up(plan, reporter("json" if "json" in sys.argv else "auto"))
    code = 0
except BaseException as error:
    code = boundary.report(error)
sys.exit(code)
"""


LONGEST = 10.0  # seconds that an end may take

Run = Callable[..., Terminal]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Runs Python with these words in a terminal."""
    started: list[Terminal] = []

    def begin(*words: str, **env: str) -> Terminal:
        started.append(Terminal.start([sys.executable, *words], tmp_path, env))
        return started[-1]

    yield begin
    for terminal in started:
        terminal.give_up()


@pytest.fixture
def start(run: Run, tmp_path: Path) -> Run:
    """Runs COMMAND until its second step has a program."""

    def begin(*words: str) -> Terminal:
        terminal = run("-c", COMMAND, *words, PYTHONPATH=str(ROOT))
        terminal.until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip())
        return terminal

    return begin


def made(terminal: Terminal) -> set[str]:
    return {name for name in ("made", "slow") if (terminal.folder / name).exists()}


@pytest.mark.fault(5, 7)
@pytest.mark.parametrize(
    ("number", "word", "code"),
    [(signal.SIGINT, b"interrupted", 130), (signal.SIGTERM, b"terminated", 143), (signal.SIGHUP, b"", 129)],
)
def test_once_takes_back_what_was_begun_and_says_how_to_go_on(
    start: Run, number: signal.Signals, word: bytes, code: int
) -> None:
    """Ctrl-C, SIGTERM or a closed terminal in the middle of `up` → its changes are undone; code 130, 143 or 129."""
    terminal = start()
    if number is signal.SIGINT:
        terminal.press(CTRL_C)
    elif number is signal.SIGHUP:
        terminal.close()
    else:  # as timeout(1) does, to its child and to its group
        terminal.child.send_signal(number)
        terminal.child.send_signal(number)
    assert terminal.end() == code
    assert made(terminal) == set() and not runs(terminal.folder / "child")
    assert word in terminal.shown
    if number is not signal.SIGHUP:
        assert b"go on: again" in terminal.shown
        assert terminal.shown.rindex(b"\x1b[?25h") > terminal.shown.rindex(b"\x1b[?25l"), "the cursor is back"


def test_interrupt_is_reported_to_programs_as_events(start: Run) -> None:
    """Ctrl-C in an `up --progress json` → every line is an event, with what stays and how to go on."""
    terminal = start("json")
    terminal.child.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    events = [json.loads(line) for line in terminal.shown.splitlines()]
    assert [one["detail"] for one in events if one["event"] == "note"] == [
        "interrupted: undoing (press again to exit at once)",
        "go on: again",
    ]


@pytest.mark.fault(5)
def test_signal_that_a_library_wraps_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM while pydantic makes a validator, which raises SchemaError for it → as everywhere else, code 143."""
    monkeypatch.setattr(logging.getLogger("sandbox"), "handlers", [logging.NullHandler()])  # else it opens a log
    monkeypatch.setattr(Terminated, "raised", Terminated(signal.SIGTERM, "go on: again"))
    assert error_handler.report(ValueError('Field "ca": Terminated: 15')) == 143
    assert capsys.readouterr().err == "go on: again\n"


@pytest.mark.fault(6)
def test_second_signal_exits_at_once(start: Run) -> None:
    """Ctrl-C again while it cleans up → it leaves at once, with the programs it started; the cursor is back."""
    terminal = start("stuck")
    terminal.press(CTRL_C)
    terminal.until(lambda: b"press again to exit at once" in terminal.shown)
    time.sleep(2 * ECHO)
    terminal.press(CTRL_C)
    assert terminal.end() == 130
    assert "made" in made(terminal)
    terminal.until(lambda: not runs(terminal.folder / "child"))
    assert b"exiting at once: what was begun is left as it is" in terminal.shown
    assert terminal.shown.rindex(b"\x1b[?25h") > terminal.shown.rindex(b"\x1b[?25l")


def test_under_nohup_a_closed_terminal_is_ignored(start: Run) -> None:
    """SIGHUP to an `up` that nohup(1) started → it goes on, and can still be ended."""
    terminal = start("nohup")
    terminal.child.send_signal(signal.SIGHUP)
    time.sleep(4 * ECHO)
    assert runs(terminal.folder / "child")
    terminal.child.send_signal(signal.SIGTERM)
    assert terminal.end() == 143
    assert b"terminated: undoing" in terminal.shown


@pytest.mark.fault(5)
@pytest.mark.parametrize(
    ("command", "go_on"),
    [
        ("down demo --purge", b"run `sandbox down demo --purge` again to remove the rest"),
        ("push-images images.yaml --registry %s", b"run `sandbox push-images` again to continue"),
    ],
)
def test_ctrl_c_while_a_server_does_not_answer(run: Run, tmp_path: Path, command: str, go_on: bytes) -> None:
    """Ctrl-C while a command waits for the engine or the registry → a word at once, code 130, how to go on."""
    (tmp_path / "app.tar").write_bytes(new_save({"app:dev": TestImage((layer(1),), "app")}))
    (tmp_path / "images.yaml").write_text("images: [{from: archive, path: app.tar, as: 'app:dev'}]\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LONGEST)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        terminal = run("-m", "sandbox", *command.replace("%s", address).split(), DOCKER_HOST=f"tcp://{address}")
        with server.accept()[0] as connection:
            connection.recv(1)
            terminal.press(CTRL_C)
            terminal.until(lambda: b"interrupted: stopping" in terminal.shown)
            assert terminal.end(LONGEST) == 130
    assert go_on in terminal.shown and b"Traceback" not in terminal.shown
    assert not (tmp_path / "images.lock.yaml").exists()


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
