"""Folders of this machine that a container without capabilities keeps its data in."""

from __future__ import annotations

from pathlib import Path

from sandbox.engine import Engine
from sandbox.errors import SandboxError


def owner(engine: Engine, path: Path) -> str | None:
    """The `UID:GID` a container must run as to write into the folder, which is made when it is not there.

    Root in a container has no right to pass over permissions, since its capabilities are dropped. None where the
    engine runs without root: there its root is the user. Raises SandboxError.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        raise SandboxError(
            f"the folder {path} cannot be used", details=str(error), fix="write another one, or correct its permissions"
        ) from error
    return None if engine.is_rootless() else f"{found.st_uid}:{found.st_gid}"
