"""The edge's folder: its configuration follows the routes, and says whether it changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sandbox.host import files
from sandbox.proxy import config
from sandbox.proxy.routes import READABLE, Route


def is_current(folder: Path, routes: Sequence[Route]) -> bool:
    """Whether the configuration on disk is the one for `routes`."""
    return all(_read(folder / name) == text for name, text in config.render(routes).items())


def write(folder: Path, routes: Sequence[Route]) -> None:
    """Write the configuration for `routes`."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name, text in config.render(routes).items():
        files.write_atomic(folder / name, text.encode(), mode=READABLE)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
