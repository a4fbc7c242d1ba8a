"""The live display of a terminal: finished steps as lines, and below them running steps with their newest message."""

from __future__ import annotations

import time

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live as RichLive
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from sandbox.report import Reporter, result
from sandbox.sanitize import fit


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
        self._console.print(f"{mark} {what:<40} {took:>9}  [dim]{words}[/dim]", overflow="ellipsis", no_wrap=True)
