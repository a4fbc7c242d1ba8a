"""The progress of `dev`."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError


@dataclass(frozen=True)
class Container:
    """A container of a pod, as users and programs know it."""

    namespace: str
    pod: str
    name: str


@dataclass(frozen=True)
class Crash:
    """A container that ended and should not have: its exit code, the reason, and the last lines of its log."""

    container: Container
    code: int
    reason: str
    lines: str
    fix: str


class DevReport:
    """Receives every phase of every change, and what pods write meanwhile, from several threads at once."""

    def watching(self, folders: Collection[Path]) -> None:
        """Report that everything is up, and that these files and folders are watched for changes."""

    def changed(self, paths: Collection[Path]) -> None:
        """Report changed files that require something to be done."""

    def progress(self, phase: str, detail: str) -> None:
        """Report the newest line of output."""

    def phase(self, name: str, what: str, seconds: float, detail: str = "") -> None:
        """Report the end of a phase: `build`, `push`, `sync`, `apply`, `roll-out`."""

    def failed(self, error: SandboxError) -> None:
        """Report an error; `dev` still waits for the next change."""

    def ready(self, seconds: float) -> None:
        """Report that everything is done, so many seconds after the change was seen."""

    def copied(self, seconds: float) -> None:
        """Report the same, but for files in containers whose programs may not have read them again."""

    def log(self, container: Container, line: str) -> None:
        """Report a line of a container's log."""

    def crashed(self, crash: Crash) -> None:
        """Report a container that ended in an error."""
