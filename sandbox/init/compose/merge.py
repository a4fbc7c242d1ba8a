"""Merges two settings of a compose service (Compose Specification, 13-merge.md)."""

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

# Lists of NAME=VALUE or of names that are maps too, of which the first have single values.
VALUES = ("args", "environment", "labels")
MAPS = (*VALUES, "depends_on", "networks")
REPLACED = ("command", "entrypoint", "test")
# Lists whose only entry may stand alone.
SEQUENCES = ("env_file", "tmpfs")
# Lists of what a container has at one place each.
PLACED = ("configs", "secrets", "volumes")


def merged(base: Any, over: Any, key: str = "") -> Any:
    if key in REPLACED or base is None:
        return over
    if over is None:
        return base
    if key in PLACED:
        return list({_place(entry): entry for entry in (*listed(base), *listed(over))}.values())
    if key == "build":
        base, over = ({"context": build} if isinstance(build, str) else build for build in (base, over))
    if key in MAPS:
        base, over = (dict(pairs(each)) if isinstance(each, list) else each for each in (base, over))
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        inner = over if key in VALUES else {name: merged(base.get(name), one, str(name)) for name, one in over.items()}
        return {**base, **inner}
    if isinstance(base, list) or key in SEQUENCES:
        return [*listed(base), *(entry for entry in listed(over) if entry not in listed(base))]
    return over


def _place(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return str(entry.get("target") or entry.get("source"))
    source, colon, rest = str(entry).partition(":")
    return posixpath.normpath(rest.partition(":")[0] if colon else source)


def listed(setting: Any) -> list[Any]:
    return setting if isinstance(setting, list) else [] if setting is None else [setting]


def keys(setting: Mapping[Any, Any]) -> set[str]:
    """Return the keys of a setting without those of extensions (`x-…`), which set nothing."""
    return {key for key in map(str, setting) if not key.startswith("x-")}


def pairs(setting: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(setting, Mapping):
        yield from ((str(key), value) for key, value in setting.items())
        return
    for entry in listed(setting):
        key, equals, value = str(entry).partition("=")
        yield key, value if equals else None
