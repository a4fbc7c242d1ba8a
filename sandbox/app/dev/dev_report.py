"""What `dev` tells while it works; calls come from several threads at once."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sandbox.errors import SandboxError
from sandbox.fast_dataclass import dataclass


@dataclass(frozen=True)
class Container:
    """A container of a pod, as people and programs know it."""

    namespace: str
    pod: str
    name: str


@dataclass(frozen=True)
class Crash:
    """A container that ended and should not have: its exit code, the reason, and the last lines that it wrote."""

    container: Container
    code: int
    reason: str
    lines: str
    fix: str


class DevReport(Protocol):
    """Hears of every phase of every change, and of what the pods say meanwhile."""

    def watching(self, folders: Collection[Path]) -> None:
        """Report that all is up, and changes of these files and folders are waited for."""

    def changed(self, paths: Collection[Path]) -> None:
        """Report that files changed which ask for something to be done."""

    def progress(self, phase: str, detail: str) -> None:
        """Report the newest line of what is done."""

    def phase(self, name: str, what: str, seconds: float, detail: str = "") -> None:
        """Report the end of one part of the work: `build`, `push`, `sync`, `apply`, `roll-out`."""

    def failed(self, error: SandboxError) -> None:
        """Report what could not be done; the next change is waited for all the same."""

    def ready(self, seconds: float) -> None:
        """Report that all is done, so long after the change was seen."""

    def log(self, container: Container, line: str) -> None:
        """Report a line that a container wrote."""

    def crashed(self, crash: Crash) -> None:
        """Report a container that ended in an error."""


class Timed:
    """One phase at work; `detail` is said at its end."""

    def __init__(self) -> None:
        self.detail = ""


@contextmanager
def timed(report: DevReport, name: str, what: str) -> Iterator[Timed]:
    """Report a phase when the block has ended well, with its time."""
    begun, told = time.monotonic(), Timed()
    yield told
    report.phase(name, what, time.monotonic() - begun, told.detail)
