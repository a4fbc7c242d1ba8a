"""The reporter for a terminal: finished steps as lines, and below them every step at work with its newest word."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live as RichLive
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

ROOMY = 80  # columns of a terminal in which what is said of steps can stand in a column of its own


class Live:
    """Draws only while something is at work; what has ended scrolls up as plain lines."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._running: dict[str, tuple[float, str]] = {}
        self._spinner = Spinner("dots")
        self._live = RichLive(self, console=self._console, refresh_per_second=10, transient=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._rows()

    def _rows(self) -> Iterator[Table]:
        now = time.monotonic()
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for step, (started, detail) in list(self._running.items()):
            table.add_row(self._spinner, step, f"[dim]{now - started:.0f} s  {escape(detail)}[/dim]")
        yield table

    def began(self, step: str) -> None:
        self._running[step] = (time.monotonic(), "")
        self._live.start()

    def progress(self, step: str, detail: str) -> None:
        if step in self._running:
            self._running[step] = (self._running[step][0], detail)

    def finished(self, step: str, detail: str, seconds: float) -> None:
        self._end(step, "[green]✓[/green]", f"{seconds:.1f} s", detail)

    def unchanged(self, step: str, detail: str) -> None:
        self._end(step, "[green]✓[/green]", "unchanged", detail)

    def failed(self, step: str, brief: str) -> None:
        self._end(step, "[red]✗[/red]", "failed", brief)

    def interrupted(self, step: str) -> None:
        self._forget(step)

    def stopped(self, step: str, seconds: float) -> None:
        self._end(step, "[green]✓[/green]", f"{seconds:.1f} s", "stopped")

    def removed(self, step: str, seconds: float) -> None:
        self._end(step, "[green]✓[/green]", f"{seconds:.1f} s", "removed")

    def _end(self, step: str, mark: str, took: str, words: str) -> None:
        what = escape(step)
        columns = f"{what:<40} {took:>9}" if self._console.width >= ROOMY else f"{what}  {took}"
        self._console.print(f"{mark} {columns}  [dim]{escape(words)}[/dim]", overflow="ellipsis", no_wrap=True)
        self._forget(step)

    def _forget(self, step: str) -> None:
        self._running.pop(step, None)
        if not self._running:
            self._live.stop()
