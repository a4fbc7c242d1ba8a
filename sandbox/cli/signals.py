"""Ends a command on an interrupt, SIGTERM or hangup: first with a message and in order, the second time at once."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import ClassVar

from sandbox.cli import output
from sandbox.system import process

ENDS: Mapping[int, str] = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "hung up",
}
# Does nothing but wake the main thread from what it waits in.
NUDGE = signal.SIGURG
EVERY = 0.02
# Seconds in which a second signal is an echo of the first: timeout(1) and others signal a command and then its group.
ECHO = 0.1
SHOW_CURSOR = b"\x1b[?25h"


class Terminated(BaseException):
    """The command was told to end by a signal; `after` says what stays and how to go on.

    `raised` is the one that was raised: a library that it passes may make an error of its own of it.
    """

    raised: ClassVar[Terminated | None] = None

    def __init__(self, number: int, after: str = "") -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        self.after = after


def catch(doing: str, after: str, *, events: bool) -> None:
    """Raise Terminated in the main thread, whatever it waits in, when a signal tells the command to end.

    `doing` is what the command does then, printed at once; `after` is printed at the end: what stays and how to go on.
    With `events` both are events of `--progress json`. A second signal ends the command at once, with the programs it
    runs. A hangup that nohup(1) ignores stays ignored.
    """
    # Python runs a signal handler only once the main thread is back in Python, which may take as long as what it waits
    # for if the signal comes just before the wait; a second thread learns of each signal without delay.
    reader, writer = os.pipe()  # programs do not inherit it; macOS has no pipe2
    os.set_blocking(writer, False)
    raised, announced = threading.Event(), threading.Event()

    def ended(number: int, _: FrameType | None) -> None:
        if not raised.is_set():
            raised.set()
            announced.wait(EVERY * 10)  # the first message must come before the last ones
            last = output.event_line("note", detail=after) if after and events else after
            Terminated.raised = Terminated(number, last)
            raise Terminated.raised

    for number in ENDS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, ended)
    signal.signal(NUDGE, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    main = threading.get_ident()

    def listen() -> None:
        number = _next(reader, None)
        if number == signal.SIGHUP:  # no one reads any more, and a write would fail
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
        first = time.monotonic()
        _write(f"{ENDS[number]}: {doing} (press again to exit at once)", events=events)
        announced.set()
        while not (number := _next(reader, EVERY)) or time.monotonic() < first + ECHO:
            if not raised.is_set():
                signal.pthread_kill(main, NUDGE)
        process.kill_all()
        _write("exiting at once: what was begun is left as it is", events=events)
        if sys.stderr.isatty():
            os.write(2, SHOW_CURSOR)
        os._exit(128 + number)

    threading.Thread(target=listen, name="signals", daemon=True).start()


def _write(words: str, *, events: bool) -> None:
    # Not by way of sys.stderr, which another thread may be writing to; what read it may have ended.
    with contextlib.suppress(OSError):
        os.write(2, f"{output.event_line('note', detail=words)}\n".encode() if events else f"\n{words}\n".encode())


def _next(reader: int, seconds: float | None) -> int:
    while select.select([reader], [], [], seconds)[0]:
        number = os.read(reader, 1)[0]
        if number in ENDS:
            return number
    return 0
