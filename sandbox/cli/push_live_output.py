"""The talk of a push on a terminal: images that are done as lines, and below them how far the whole of it is."""

from __future__ import annotations

import threading
import time
from collections import deque

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

from sandbox.cli.push_output import Talk, count, megabytes, row
from sandbox.errors import SandboxError
from sandbox.images.progress import Result

WINDOW = 5.0  # seconds over which the rate is taken


class Meter:
    """The rate of the last seconds, in bytes a second."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def rate(self, now: float, total: int) -> float:
        """Note that `total` bytes were sent up to `now` (seconds of one monotonic clock); the rate lately."""
        if not total:
            self._samples.clear()
        self._samples.append((now, total))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW:
            self._samples.popleft()
        began, before = self._samples[0]
        return (total - before) / (now - began) if now > began else 0.0


class LiveTalk(Talk):
    """Draws while it is used as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or Console(stderr=True, highlight=False)
        self._meter = Meter()
        self._ending = threading.Lock()
        self._images = self._done = self._spared = 0
        self._expected = 0
        self._total: int | None = None
        self._word = "looking what is there"
        self._spinner = Spinner("dots")
        self._live = Live(self, console=self._console, refresh_per_second=10, transient=True)
        self._live.start()

    def close(self) -> None:
        self._live.stop()

    def verifying(self, images: int) -> None:
        self._total, self._word = None, f"reading {images} images back"

    def building(self, target: str) -> None:
        self._word = f"building {target}"

    def expected(self, size: int) -> None:
        self._expected, self._word = size, "from the Docker Engine"

    def planned(self, images: int, blobs: int, size: int) -> None:
        self._images, self._total, self._word = images + self._done, size, ""

    def spared(self, size: int) -> None:
        with self._ending:
            self._spared += size

    def finished(self, result: Result) -> None:
        with self._ending:
            self._done += 1
        self._line(f"[green]✓[/green] {escape(row(result))}")
        for note in result.notes:
            self._line(f"  {escape(note)}")

    def failed(self, target: str, error: SandboxError) -> None:
        with self._ending:
            self._done += 1
        self._line(f"[red]✗[/red] {escape(f'{target:<40} {error.brief}')}")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table.grid(padding=(0, 1))
        cells: list[Spinner | ProgressBar | str] = [self._spinner]
        if self._total:
            gone = min(self.bytes + self._spared, self._total)
            cells += [ProgressBar(total=self._total, completed=gone, width=24), escape(self.words(time.monotonic()))]
        else:
            cells.append(escape(self.words(time.monotonic())))
        table.add_row(*cells)
        yield table

    def words(self, now: float) -> str:
        """How much of what, how fast, how long yet."""
        rate = self._meter.rate(now, self.bytes)
        speed = f"{megabytes(rate)}/s" if rate else ""
        whole = (self._total or 0) - self._spared
        if self._total is None:
            whole = self._expected
            gone = (
                f"{megabytes(self.bytes)} of about {megabytes(max(whole, self.bytes))}" if self.bytes and rate else ""
            )
            words = self._word
        else:
            gone = f"{megabytes(self.bytes)} of {megabytes(max(whole, self.bytes))}"
            words = f"{self._done} of {count(self._images, 'image')}"
        left = f"{(whole - self.bytes) / rate:.0f} s left" if rate and whole > self.bytes else ""
        return "  ".join(filter(None, (gone, speed, left, words)))

    def _line(self, text: str) -> None:
        self._console.print(text, overflow="ellipsis", no_wrap=True)
