"""Lists the node images that `up` made from published ones, and removes those that nothing uses."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.app import snapshots
from sandbox.bundle import machine_node
from sandbox.bundle.machine_node import Made
from sandbox.engine import Engine


def found() -> tuple[Made, ...]:
    """Return the node images of this machine; those of sandboxes and of this user's snapshots are in use.

    Raises SandboxError for a snapshot that does not tell which it needs.
    """
    return machine_node.made(Engine.connect(), snapshots.store().images())


def remove(unused: Sequence[Made]) -> tuple[Made, ...]:
    """Remove node images, and return those that were removed."""
    return machine_node.prune(Engine.connect(), unused)
