"""Removes containers of ours and no others, whatever they are called: what lacks our label is somebody else's."""

from __future__ import annotations

from sandbox.errors import SandboxError
from sandbox.host.engine import Engine
from sandbox.names import LABEL


def remove(engine: Engine, name: str) -> bool:
    """Remove our container of this name; returns whether there was one. One of somebody else is left alone."""
    found = engine.container(name)
    return found is not None and LABEL in found.labels and engine.remove_container(name)


def make_room(engine: Engine, name: str) -> None:
    """See that there is no container of this name, because one is to be made. Raises SandboxError for another's."""
    found = engine.container(name)
    if found is not None and LABEL not in found.labels:
        raise SandboxError(
            f"the name {name} is taken by a container that is not of a sandbox",
            details=f"it lacks the label {LABEL}, and was left alone",
            fix=f"docker rename {name} another-name, or give the sandbox another `name`",
            id="name-taken",
        )
    remove(engine, name)


def remove_volume(engine: Engine, name: str) -> bool:
    """Remove our volume of this name with its data; returns whether there was one. Another's is left alone."""
    return LABEL in (engine.volume_labels(name) or {}) and engine.remove_volume(name)
