"""Images the Docker Engine builds from a folder; once built they are images of the engine like any other."""

from __future__ import annotations

from pathlib import Path

from sandbox.engine.engine_images import build_context
from sandbox.errors import UsageError
from sandbox.images.images_yaml import FromBuild, FromDaemon
from sandbox.images.sources.image_source import Daemon


def build(entry: FromBuild, daemon: Daemon) -> FromDaemon:
    """Build it under its target's name and give the entry to go on with. Raises SandboxError."""
    if not entry.context.is_dir():
        raise UsageError(
            f"there is no folder {entry.context}", details=f"the context of {entry.target}", fix="correct `context:`"
        )
    daemon.build(entry.context, str(entry.target))
    return FromDaemon(entry.target, str(entry.target))


def newer_file(context: Path, when: float) -> str | None:
    """A file or folder of the context that was written, moved or deleted from after `when` (seconds), if there is one.

    What git keeps for itself is left out, since it changes without the files that are built from.
    """
    for name in sorted(build_context(context)) if context.is_dir() else ():
        if name.partition("/")[0] != ".git":
            try:
                changed = (context / name).lstat().st_ctime
            except OSError:  # gone meanwhile
                return name
            if changed > when:
                return name
    return None
