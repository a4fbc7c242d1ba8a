"""Commands that an agent started: each is a child process, which may go on after the call that started it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.sanitize import fit

MOST = 2**20  # bytes that are kept of what a command prints
LINES = 12  # of its progress
AT_ONCE = 4  # commands that may run at the same time
GRACE = 20.0  # seconds that an interrupted command gets to roll back

PROGRAM = (sys.executable, "-P", "-m", "sandbox")

Say = Callable[[str], Awaitable[None]]


@dataclass
class Task:
    """One command: `output` is its stdout, `messages` its stderr, both up to MOST bytes."""

    id: str
    title: str
    process: asyncio.subprocess.Process
    began: float = field(default_factory=time.monotonic)
    output: bytearray = field(default_factory=bytearray)
    messages: bytearray = field(default_factory=bytearray)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))
    listeners: list[Say] = field(default_factory=list)
    reading: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self.reading is not None and not self.reading.done()

    @property
    def seconds(self) -> int:
        return round(time.monotonic() - self.began)

    async def wait(self, seconds: float, say: Say | None = None) -> bool:
        """Wait for the end, at most so long; pass lines of progress to `say`. Return whether it has ended."""
        if self.reading is None:
            return True
        if say:
            self.listeners.append(say)
        try:
            await asyncio.wait([self.reading], timeout=seconds)
        finally:
            if say:
                self.listeners.remove(say)
        return not self.is_running

    async def interrupt(self) -> None:
        """End it as Ctrl-C does, so that it rolls back; kill it where that takes too long."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)
        if not await self.wait(GRACE):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.wait(GRACE)

    async def read(self) -> None:
        """Read both streams until they end, and then the exit code."""
        await asyncio.gather(
            self._drain(self.process.stdout, self.output, is_progress=False),
            self._drain(self.process.stderr, self.messages, is_progress=True),
        )
        await self.process.wait()

    async def _drain(self, stream: asyncio.StreamReader | None, kept: bytearray, *, is_progress: bool) -> None:
        rest = b""
        while stream and (block := await stream.read(65536)):
            kept += block[: max(MOST - len(kept), 0)]
            if is_progress:
                *lines, rest = (rest + block).split(b"\n")
                rest = rest[-MOST:]
                for line in lines:
                    await self._tell(fit(line.decode(errors="replace")).strip())

    async def _tell(self, line: str) -> None:
        if line:
            self.recent.append(line)
            for say in tuple(self.listeners):
                await say(line)


class TooMany(Exception):
    """AT_ONCE commands run already."""


class Tasks:
    """All commands of one server, in the folder of the project."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._tasks: dict[str, Task] = {}

    async def start(self, title: str, arguments: Sequence[str]) -> Task:
        """Run `sandbox ARGUMENTS…`, without a shell and without a terminal. Raises TooMany."""
        if sum(task.is_running for task in self._tasks.values()) >= AT_ONCE:
            raise TooMany
        process = await asyncio.create_subprocess_exec(
            *(*PROGRAM, *arguments),
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "SANDBOX_PROGRESS": "plain", "NO_COLOR": "1"},
        )
        task = Task(f"task-{next(self._numbers)}", title, process)
        task.reading = asyncio.create_task(task.read())
        self._tasks[task.id] = task
        return task

    def unfetched(self) -> list[Task]:
        """Return those whose result was not asked for yet."""
        return list(self._tasks.values())

    def get(self, id: str) -> Task | None:
        return self._tasks.get(id)

    def forget(self, task: Task) -> None:
        self._tasks.pop(task.id, None)

    async def end(self) -> None:
        """Interrupt what still runs: nothing goes on that no agent can see."""
        await asyncio.gather(*(task.interrupt() for task in self._tasks.values() if task.is_running))
