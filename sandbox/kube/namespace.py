"""A namespace as an object, since several parts of a sandbox make sure that theirs exists."""

from __future__ import annotations

from typing import Any


def namespace(name: str) -> dict[str, Any]:
    """The Namespace `name`."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
