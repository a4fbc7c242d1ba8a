"""The containers that are a cluster's nodes, however many and whenever they came."""

from __future__ import annotations

from sandbox.host.engine import Engine
from sandbox.names import Names

ROLE = "io.x-k8s.kind.role"
ROLES = ("control-plane", "worker")  # the others balance load and run no pods


def running(engine: Engine, names: Names) -> tuple[str, ...]:
    """The nodes that run, by kind's labels; the one whose name is known where nothing is labelled."""
    found = engine.containers(f"io.x-k8s.kind.cluster={names.cluster}")
    nodes = sorted(one.name for one in found if one.running and one.labels.get(ROLE) in ROLES)
    return tuple(nodes) or (names.node,)
