"""Commands that an agent started: each is a child process, which may go on after the call that started it."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.sanitize import fit

MOST = 2**20  # bytes that are kept of what a command prints
LINES = 12  # of its progress
GRACE = 20.0  # seconds that an interrupted command gets to roll back

PROGRAM = (sys.executable, "-P", "-m", "sandbox")


@dataclass
class Task:
    """One command: `output` is its stdout, `messages` its stderr, of both the last MOST bytes."""

    id: str
    title: str
    process: asyncio.subprocess.Process
    began: float = field(default_factory=time.monotonic)
    output: bytearray = field(default_factory=bytearray)
    messages: bytearray = field(default_factory=bytearray)
    reading: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        self.reading = asyncio.create_task(self._read())

    @property
    def is_running(self) -> bool:
        return not self.reading.done()

    @property
    def recent(self) -> str:
        """Return the last lines of its progress."""
        return "\n".join(fit(self.messages.decode(errors="replace")).strip().splitlines()[-LINES:])

    @property
    def seconds(self) -> int:
        return round(time.monotonic() - self.began)

    async def wait(self, seconds: float) -> bool:
        """Wait for the end, at most so long. Return whether it has ended."""
        await asyncio.wait([self.reading], timeout=seconds)
        return not self.is_running

    async def interrupt(self) -> None:
        """End it as Ctrl-C does, so that it rolls back; kill it where that takes too long."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)
        if not await self.wait(GRACE):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.wait(GRACE)

    async def _read(self) -> None:
        await asyncio.gather(
            self._drain(self.process.stdout, self.output), self._drain(self.process.stderr, self.messages)
        )
        await self.process.wait()

    async def _drain(self, stream: asyncio.StreamReader | None, kept: bytearray) -> None:
        while stream and (block := await stream.read(65536)):
            kept += block
            del kept[:-MOST]


async def start(id: str, title: str, arguments: Sequence[str], folder: Path) -> Task:
    """Run `sandbox ARGUMENTS…` in a folder, without a shell and without a terminal."""
    process = await asyncio.create_subprocess_exec(
        *(*PROGRAM, *arguments),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "SANDBOX_PROGRESS": "plain", "NO_COLOR": "1"},
    )
    return Task(id, title, process)
