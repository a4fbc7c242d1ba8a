"""What two settings of a compose file say together (Compose Specification, 13-merge.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.config.yaml_text import Replacing
from sandbox.init.compose import volumes

# Lists of NAME=VALUE or of names that are maps too, and settings that take the place of others whole.
MAPS = ("args", "depends_on", "environment", "labels", "networks")
WHOLE = ("command", "entrypoint", "test")


def merged(base: Any, over: Any, key: str = "") -> Any:
    """Return what two settings of the same `key` say together."""
    if isinstance(over, Replacing):
        return over
    if isinstance(base, Replacing):
        base = base.value
    if key in WHOLE or base is None or over is None:
        return over
    if key == "build":
        base, over = ({"context": one} if isinstance(one, str) else one for one in (base, over))
    if key in MAPS:
        base, over = as_map(base), as_map(over)
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {**base, **{name: merged(base.get(name), value, str(name)) for name, value in over.items()}}
    if isinstance(base, list) or (isinstance(over, list) and key == "env_file"):
        added = listed(over)
        kept = [one for one in listed(base) if _places([one], key).isdisjoint(_places(added, key))]
        return [*kept, *(one for one in added if one not in kept)]
    return over


def _places(given: list[Any], key: str) -> set[str]:
    """Return where in a container the settings of a list put something, of which one place can have one."""
    if key == "volumes":
        return {place for _, place in volumes.pairs(given)}
    long = [one if isinstance(one, Mapping) else {"source": one} for one in given if key in ("configs", "secrets")]
    return {str(one.get("target") or one.get("source")) for one in long}


def plain(content: Any) -> Any:
    """Return the content with the values of what replaced others, and without what was reset."""
    match content:
        case Replacing(value):
            return plain(value)
        case list():
            return [plain(one) for one in content]
        case dict():
            return {key: plain(one) for key, one in content.items() if one != Replacing(None)}
        case _:
            return content


def listed(given: Any) -> list[Any]:
    """Return a list, or what stands alone as one; nothing where nothing is given."""
    return given if isinstance(given, list) else [] if given is None else [given]


def keys(given: Mapping[Any, Any]) -> set[str]:
    """Return the keys of a setting without those of extensions (`x-…`), which set nothing."""
    return {key for key in map(str, given) if not key.startswith("x-")}


def as_map(given: Any) -> Any:
    """Return a list of NAME=VALUE or of names as the map that it means; anything else as it is."""
    return dict(_pairs(given)) if isinstance(given, list) else given


def _pairs(given: list[Any]) -> Iterator[tuple[str, Any]]:
    for one in given:
        key, equals, value = str(one).partition("=")
        yield key, value if equals else None
