"""What two settings of a compose file say together (Compose Specification, 13-merge.md)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.config import untyped
from sandbox.config.yaml_text import Replacing
from sandbox.init.compose import volumes

# Lists of NAME=VALUE or of names that are maps too, of which the first have single values, and settings that take the
# place of others whole.
VALUES = ("args", "environment", "labels")
MAPS = (*VALUES, "depends_on", "networks")
WHOLE = ("command", "entrypoint", "test")
# Lists whose only entry may stand alone.
SEQUENCES = ("env_file", "tmpfs")
# Lists of what a container has at one place each, and where that is by default.
PLACED = {"configs": "/", "secrets": "/run/secrets/", "volumes": ""}


def merged(base: Any, over: Any, key: str = "") -> Any:
    """Return what two settings of the same `key` say together."""
    if isinstance(over, Replacing):
        return Replacing(merged(None, over.value, key))
    if isinstance(base, Replacing):
        base = base.value
    if key in PLACED and isinstance(over, list):
        return list({_place(one, key): one for one in (*listed(base), *over)}.values())
    if key in WHOLE or base is None:
        return over
    if over is None:
        return base
    if key == "build":
        base, over = ({"context": one} if isinstance(one, str) else one for one in (base, over))
    if key in MAPS:
        base, over = as_map(base), as_map(over)
    if key == "extra_hosts":
        base, over = _hosts(base), _hosts(over)
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        inner = over if key in VALUES else {name: merged(base.get(name), one, str(name)) for name, one in over.items()}
        return {**base, **inner}
    if isinstance(base, list) or key in SEQUENCES:
        kept = listed(base)
        return [*kept, *(one for one in listed(over) if one not in kept)]
    return over


def _hosts(given: Any) -> Any:
    """Return hosts as the list that a map of them means; one may have several addresses."""
    if not isinstance(given, Mapping):
        return given
    return [f"{host}={address}" for host, addresses in given.items() for address in listed(addresses)]


def _place(one: Any, key: str) -> str:
    """Return where a container has an entry of such a list."""
    if key == "volumes":
        return next(place for _, place in volumes.pairs([one]))
    said = untyped.at(one, "target") or untyped.at(one, "source") or one
    return posixpath.join(PLACED[key], str(said))


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
