"""Finds the nodes of a sandbox's cluster when only its name is known."""

from __future__ import annotations

from sandbox.host.engine import Engine
from sandbox.names import Names
from sandbox.providers import kind
from sandbox.providers.provider import Nodes


def nodes(engine: Engine, names: Names) -> Nodes:
    """The nodes of the cluster that there is, or that the usual provider would make."""
    return kind.nodes(engine, names)
