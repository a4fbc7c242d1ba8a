"""The live display of a terminal: finished steps as lines, and below them running steps with their newest message."""

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Column

from sandbox.report import Reporter, result
from sandbox.sanitize import fit


class Live(Reporter):
    """The Reporter of steps: draws only while a step runs; finished steps scroll up as plain lines."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._running: dict[str, TaskID] = {}
        message = TextColumn(
            "[dim]{task.elapsed:.0f} s  {task.fields[message]}[/dim]",
            table_column=Column(no_wrap=True, overflow="ellipsis"),
        )
        columns = (SpinnerColumn(style=""), TextColumn("{task.description}"), message)
        self._progress = Progress(*columns, console=self._console, transient=True)

    def event(self, event: str, step: str, detail: str = "", seconds: float | None = None) -> None:
        match event:
            case "began":
                self._running[step] = self._progress.add_task(escape(fit(step)), total=None, message="")
                self._progress.start()
                return
            case "progress":
                if step in self._running:
                    self._progress.update(self._running[step], message=escape(fit(detail)))
                return
            case "interrupted":
                pass
            case _:
                self._show(event, step, *result(event, detail, seconds))
        if step in self._running:
            self._progress.remove_task(self._running.pop(step))
        if not self._running:
            self._progress.stop()

    def _show(self, event: str, step: str, took: str, words: str) -> None:
        mark = "[red]✗[/red]" if event == "failed" else "[green]✓[/green]"
        what, words = escape(fit(step)), escape(fit(words))
        self._console.print(f"{mark} {what:<40} {took:>9}  [dim]{words}[/dim]", overflow="ellipsis", no_wrap=True)
