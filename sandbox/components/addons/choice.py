"""Which addons a sandbox is to have: those of its spec, those enabled by command, and what they need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sandbox.components.addons import catalogue
from sandbox.components.addons.addon import Addon
from sandbox.errors import UsageError


@dataclass(frozen=True)
class Use:
    """An addon that is asked for: its name or the absolute path of its folder, and values for its placeholders."""

    source: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Chosen:
    """An addon to have; `by` says who asked: `spec`, `command`, or the addon that needs it."""

    addon: Addon
    source: str
    values: Mapping[str, str]
    by: str


def choose(spec: Iterable[Use], commanded: Iterable[str]) -> tuple[Chosen, ...]:
    """The addons to have, each after those it needs; where two have one name, the spec's. Raises UsageError."""
    chosen: dict[str, Chosen] = {}
    for use in spec:
        _add(chosen, use, "spec", ())
    for source in commanded:
        _add(chosen, Use(source), "command", ())
    return tuple(chosen.values())


def _add(chosen: dict[str, Chosen], use: Use, by: str, path: tuple[str, ...]) -> None:
    addon = catalogue.find(use.source)
    if addon.name in path:
        raise UsageError(f"addons need each other in a circle: {' → '.join((*path, addon.name))}")
    unknown = sorted(use.values.keys() - addon.about.values.keys())
    if unknown:
        known = ", ".join(addon.about.values) or "none"
        raise UsageError(f"the addon '{addon.name}' has no value '{unknown[0]}'", fix=f"it has: {known}")
    for need in addon.about.needs:
        _add(chosen, Use(need), addon.name, (*path, addon.name))
    known_one = chosen.get(addon.name)
    if known_one is None:
        chosen[addon.name] = Chosen(addon, use.source, {**addon.about.values, **use.values}, by)
    elif known_one.by not in ("spec", "command") and by in ("spec", "command"):
        # Needed by one before and asked for now: its place is right, its values and its reason are these.
        chosen[addon.name] = Chosen(addon, use.source, {**addon.about.values, **use.values}, by)
