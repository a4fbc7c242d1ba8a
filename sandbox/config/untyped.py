"""Parts of files whose form others decide: what has the form that is asked for, and nothing where they have another."""

from collections.abc import Mapping
from typing import Any


def at(content: Any, *path: str) -> Any:
    for key in path:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def mapping(content: Any, *path: str) -> dict[str, Any]:
    """Return the mapping at a path of keys, an empty one where there is none."""
    found = at(content, *path)
    return found if isinstance(found, dict) else {}


def mappings(content: Any, *path: str) -> list[dict[str, Any]]:
    return [one for one in _listed(content, path) if isinstance(one, dict)]


def strings(content: Any, *path: str) -> list[str]:
    return [one for one in _listed(content, path) if isinstance(one, str)]


def _listed(content: Any, path: tuple[str, ...]) -> list[Any]:
    found = at(content, *path)
    return found if isinstance(found, list) else []
