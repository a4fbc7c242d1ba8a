"""What the passthrough's process and the commands tell each other: its record, what it listens on, its log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox import __version__
from sandbox.components.edge.routes import Route
from sandbox.system import daemon, files

Listener = tuple[str, int]


@dataclass(frozen=True)
class State:
    """What the process last did: the routes it follows, where it listens, and why it does not elsewhere."""

    routes: str
    listening: frozenset[Listener]
    trouble: Mapping[str, str]
    version: str = __version__


def record(folder: Path) -> Path:
    """Return the file that tells which process it is."""
    return folder / "process.json"


def log(folder: Path) -> Path:
    """Return what the process says."""
    return folder / "passthrough.log"


def digest(routes: Sequence[Route]) -> str:
    """Return a mark that tells whether two sets of routes are the same."""
    return hashlib.sha256(repr(tuple(routes)).encode()).hexdigest()[:16]


def save(folder: Path, state: State) -> None:
    """Say what the process does now."""
    content = {**asdict(state), "listening": sorted(state.listening)}
    files.write_atomic(folder / "state.json", json.dumps(content).encode(), mode=0o600)


def running(folder: Path) -> State | None:
    """Return what the process does; None when it does not run, or has not begun to listen."""
    if daemon.find(record(folder)) is None:
        return None
    try:
        content = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        listening = frozenset((str(address), int(port)) for address, port in content.pop("listening"))
        return State(**content, listening=listening)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def forget(folder: Path) -> None:
    """Remove what a process that has ended leaves."""
    for path in (folder / "state.json", log(folder)):
        path.unlink(missing_ok=True)
