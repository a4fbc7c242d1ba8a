"""What is in a snapshot, so that what comes back is known to be what was kept."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from sandbox.errors import SandboxError


class Part(BaseModel, frozen=True):
    """A file of the snapshot."""

    file: str
    bytes: int
    sha256: str


class Node(BaseModel, frozen=True):
    """A node: how its container was made (Docker Engine API), its changed files, and its volumes by their places."""

    name: str
    image: str
    config: dict[str, Any]
    host: dict[str, Any]
    files: str
    volumes: dict[str, str]


class Manifest(BaseModel, frozen=True):
    """The table of contents; `folder` is where the files were that are mounted into nodes."""

    format: Literal[1] = 1
    snapshot: str
    sandbox: str
    made: datetime
    release: str
    kubernetes: str
    image: str
    folder: str
    nodes: tuple[Node, ...]
    registry: str | None
    parts: tuple[Part, ...]

    @property
    def bytes(self) -> int:
        """The size of all its files."""
        return sum(part.bytes for part in self.parts)

    def verify(self, folder: Path) -> None:
        """Raise SandboxError unless every file in `folder` is the one that was kept."""
        for part in self.parts:
            path = folder / part.file
            try:
                same = path.stat().st_size == part.bytes and digest(path) == part.sha256
            except OSError as error:
                raise self._torn(path, str(error)) from error
            if not same:
                raise self._torn(path, "its content is not what was kept")

    def _torn(self, path: Path, why: str) -> SandboxError:
        return SandboxError(
            f"the snapshot '{self.snapshot}' of sandbox '{self.sandbox}' is damaged",
            details=f"{path}: {why}; nothing was changed",
            fix=f"restore another one (sandbox snapshot list), or remove it: "
            f"sandbox snapshot delete {self.snapshot} {self.sandbox}",
            id="snapshot-damaged",
        )


def part(path: Path) -> Part:
    """A file as it is now."""
    return Part(file=path.name, bytes=path.stat().st_size, sha256=digest(path))


def digest(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
