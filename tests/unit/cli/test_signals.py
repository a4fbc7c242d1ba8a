"""A command that is told to end: what it says, what it leaves and how it exits, seen from the terminal it runs in."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PATIENCE = 30.0

# A command of two steps: `made` is over at once, `slow` runs a program for ever. Each is a file while it is there.
COMMAND = """
import sys, time
from pathlib import Path
from sandbox import lifecycle
from sandbox.cli import boundary, signals
from sandbox.cli.console import reporter
from sandbox.host import process
from tests.fakes import FakeStep

class Files(set):
    def add(self, name): Path(name).touch()
    def discard(self, name): Path(name).unlink(missing_ok=True)
    def __contains__(self, name): return Path(name).exists()

def slow(work):
    process.run(["sh", "-c", "trap '' TERM; echo $$ > child; exec sleep 300"], timeout=200)

world = Files()
undoing = (lambda: time.sleep(60)) if "stuck" in sys.argv else (lambda: None)
plan = [FakeStep("made", world, unmaking=undoing), FakeStep("slow", world, needs=("made",), making=slow)]
signals.catch("undoing", "go on: again")
try:
    lifecycle.up(plan, reporter("auto"), keep="keep" in sys.argv)
    code = 0
except BaseException as error:
    code = boundary.report(error)
sys.exit(code)
"""


@dataclass
class Terminal:
    """A command in a terminal of its own, which it may have closed."""

    folder: Path
    child: subprocess.Popen[bytes]
    screen: int
    shown: bytes = b""
    closed: bool = field(default=False)

    def until(self, ready: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < deadline, self.shown
            self.read()

    def read(self) -> None:
        if not self.closed:
            os.set_blocking(self.screen, False)
            with contextlib.suppress(OSError):  # nothing to read now, or nobody left who writes
                self.shown += os.read(self.screen, 65536)
        time.sleep(0.01)

    def close(self) -> None:
        self.closed = True
        os.close(self.screen)

    def end(self) -> int:
        """Its exit code."""
        self.until(lambda: self.child.poll() is not None)
        self.read()
        return self.child.returncode

    def program_runs(self) -> bool:
        """Whether the program that the step `slow` started is there."""
        try:
            os.kill(int((self.folder / "child").read_text()), 0)
        except ProcessLookupError:
            return False
        return True

    def made(self) -> set[str]:
        return {name for name in ("made", "slow") if (self.folder / name).exists()}


Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Terminal] = []

    def begin(*words: str) -> Terminal:
        master, slave = pty.openpty()
        argv = [sys.executable, "-c", COMMAND, *words]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
        child = subprocess.Popen(
            argv, cwd=tmp_path, env=env, stdin=slave, stdout=slave, stderr=slave, preexec_fn=_take_terminal
        )
        os.close(slave)
        terminal = Terminal(tmp_path, child, master)
        started.append(terminal)
        terminal.until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip())
        return terminal

    yield begin
    for terminal in started:
        terminal.child.kill()
        terminal.child.wait()
        if not terminal.closed:
            terminal.close()


def _take_terminal() -> None:
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.fault(5, 7)
@pytest.mark.parametrize(
    ("number", "word", "code"),
    [(signal.SIGINT, b"interrupted", 130), (signal.SIGTERM, b"terminated", 143), (signal.SIGHUP, b"", 129)],
)
def test_once_takes_back_what_was_begun_and_says_how_to_go_on(
    start: Start, number: signal.Signals, word: bytes, code: int
) -> None:
    """Ctrl-C, SIGTERM or SIGHUP in the middle of `up` → a word at once, what it began is gone, code 130, 143 or 129."""
    terminal = start()
    if number is signal.SIGINT:
        os.write(terminal.screen, b"\x03")
    else:
        terminal.child.send_signal(number)
    assert terminal.end() == code
    assert terminal.made() == set() and not terminal.program_runs()
    assert word in terminal.shown
    if number is not signal.SIGHUP:
        assert b"go on: again" in terminal.shown
        assert terminal.shown.rindex(b"\x1b[?25h") > terminal.shown.rindex(b"\x1b[?25l"), "the cursor is back"


@pytest.mark.fault(7)
def test_a_terminal_that_is_closed_does_not_keep_it_from_cleaning_up(start: Start) -> None:
    """The terminal's window is closed → what `up` began is taken away all the same."""
    terminal = start()
    terminal.close()
    assert terminal.end() == 129
    assert terminal.made() == set() and not terminal.program_runs()


@pytest.mark.fault(6)
def test_twice_leaves_at_once(start: Start) -> None:
    """Ctrl-C again while it cleans up → it leaves at once, with the programs it started; the cursor is back."""
    terminal = start("stuck")
    os.write(terminal.screen, b"\x03")
    terminal.until(lambda: b"again: leave at once" in terminal.shown)
    os.write(terminal.screen, b"\x03")
    assert terminal.end() == 130
    assert "made" in terminal.made()
    terminal.until(lambda: not terminal.program_runs())
    assert terminal.shown.rindex(b"\x1b[?25h") > terminal.shown.rindex(b"\x1b[?25l")


def test_what_is_to_be_kept_is_kept(start: Start) -> None:
    terminal = start("keep")
    terminal.child.send_signal(signal.SIGTERM)
    assert terminal.end() == 143
    assert terminal.made() == {"made", "slow"} and not terminal.program_runs()
