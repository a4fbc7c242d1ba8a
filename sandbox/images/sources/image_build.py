"""Images the Docker Engine builds from a folder; once built they are images of the engine like any other."""

from __future__ import annotations

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
