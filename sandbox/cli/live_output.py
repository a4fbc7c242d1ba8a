"""The live displays of a terminal: finished work as lines, and below them running work with its newest message."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live as RichLive
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

from sandbox.cli.push_display import PushDisplay, row
from sandbox.images.progress import Observer
from sandbox.quantities import count, megabytes
from sandbox.report import Reporter, result
from sandbox.sanitize import fit

if TYPE_CHECKING:
    from sandbox.errors import SandboxError
    from sandbox.images.progress import Result

ROOMY = 80  # columns of a terminal wide enough for a column of messages
BAR = 16  # columns; with it the words fit into 80
WINDOW = 5.0  # seconds over which the rate is measured


class Live(Reporter):
    """The Reporter of steps: draws only while a step runs; finished steps scroll up as plain lines."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._running: dict[str, tuple[float, str]] = {}
        self._spinner = Spinner("dots")
        self._live = RichLive(self, console=self._console, refresh_per_second=10, transient=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = time.monotonic()
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for step, (started, detail) in list(self._running.items()):
            words = f"[dim]{now - started:.0f} s  {escape(fit(detail))}[/dim]"
            table.add_row(self._spinner, escape(fit(step)), words)
        yield table

    def event(self, event: str, step: str, detail: str = "", seconds: float | None = None) -> None:
        match event:
            case "began":
                self._running[step] = (time.monotonic(), "")
                self._live.start()
                return
            case "progress":
                if step in self._running:
                    self._running[step] = (self._running[step][0], detail)
                return
            case "interrupted":
                pass
            case _:
                self._show(event, step, *result(event, detail, seconds))
        self._running.pop(step, None)
        if not self._running:
            self._live.stop()

    def _show(self, event: str, step: str, took: str, words: str) -> None:
        mark = "[red]✗[/red]" if event == "failed" else "[green]✓[/green]"
        what, words = escape(fit(step)), escape(fit(words))
        columns = f"{what:<40} {took:>9}" if self._console.width >= ROOMY else f"{what}  {took}"
        self._console.print(f"{mark} {columns}  [dim]{words}[/dim]", overflow="ellipsis", no_wrap=True)


class Meter:
    """The rate over the last seconds, in bytes a second."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def rate(self, now: float, total: int) -> float:
        """Note that `total` bytes were sent up to `now` (seconds of one monotonic clock); return the recent rate."""
        if not total:
            self._samples.clear()
        self._samples.append((now, total))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW:
            self._samples.popleft()
        began, before = self._samples[0]
        return (total - before) / (now - began) if now > began else 0.0


class LivePushDisplay(PushDisplay):
    """The display of a push, with its whole progress; draws while it is used as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or Console(stderr=True, highlight=False)
        self._meter = Meter()
        self._ending = threading.Lock()
        self._images = self._done = self._spared = 0
        self._total: int | None = None
        self._word = "checking existing images"
        self._spinner = Spinner("dots")
        self._live = RichLive(self, console=self._console, refresh_per_second=10, transient=True)
        self._live.start()

    def close(self) -> None:
        self._live.stop()

    def verifying(self, images: int) -> Observer:
        return _Reading(self, f"verifying {count(images, 'image')}")

    def begin(self, word: str, size: int) -> None:
        """Begin to count the `size` bytes of what `word` says."""
        with self._ending:
            self.bytes = self._spared = 0
        self._total, self._word = size, word

    def building(self, target: str) -> None:
        self._word = f"building {target}"

    def noted(self, line: str) -> None:
        self._line(escape(line))

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
            self._line(f"  {escape(fit(note))}")

    def failed(self, target: str, error: SandboxError) -> None:
        with self._ending:
            self._done += 1
        self._line(f"[red]✗[/red] {escape(f'{target:<40} {error.brief}')}")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table.grid(padding=(0, 1))
        cells: list[Spinner | ProgressBar | str] = [self._spinner]
        if self._total:
            gone = min(self.bytes + self._spared, self._total)
            cells += [ProgressBar(total=self._total, completed=gone, width=BAR), escape(self.words(time.monotonic()))]
        else:
            cells.append(escape(self.words(time.monotonic())))
        for _ in cells:
            table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_row(*cells)
        yield table

    def words(self, now: float) -> str:
        """Return how much of what was sent, how fast, and how long the rest will take."""
        rate = self._meter.rate(now, self.bytes)
        speed = f"{megabytes(rate)}/s" if rate else ""
        whole = (self._total or 0) - self._spared
        if self._total is None:
            whole, words = 0, self._word
            gone = megabytes(self.bytes) if self.bytes and rate else ""
        else:
            gone = f"{megabytes(self.bytes)} of {megabytes(max(whole, self.bytes))}"
            words = self._word or f"{self._done} of {count(self._images, 'image')}"
        left = f"{(whole - self.bytes) / rate:.0f} s left" if rate and whole > self.bytes else ""
        return "  ".join(filter(None, (gone, speed, left, words)))

    def _line(self, text: str) -> None:
        self._console.print(text, overflow="ellipsis", no_wrap=True)


class _Reading(Observer):
    """Shows on a display how images are read back, as what `word` says."""

    def __init__(self, display: LivePushDisplay, word: str) -> None:
        self._display = display
        self._word = word

    def sent(self, size: int) -> None:
        self._display.sent(size)

    def planned(self, images: int, blobs: int, size: int) -> None:
        self._display.begin(self._word, size)
