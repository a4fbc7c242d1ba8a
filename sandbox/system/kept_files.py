"""Small files of the user's cache by name, which only they can read; the oldest make room for others."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.system import files

MOST = 100


@dataclass(frozen=True)
class KeptFiles:
    """The files in `folder`, which is made for the first."""

    folder: Path

    def read(self, name: str) -> bytes | None:
        """Return what is kept under a name; None for nothing, and for what cannot be read."""
        return files.content(self.folder / name)

    def write(self, name: str, data: bytes) -> None:
        """Keep data under a name, unless there is no space for it, or no right to."""
        with suppress(OSError, SandboxError):
            files.write_private(self.folder / name, data)
            known = sorted(self.folder.iterdir(), key=lambda one: one.stat().st_mtime)
            for one in known[:-MOST]:
                one.unlink()
