"""Addons as they are written, those that come with the sandbox, and which of them a sandbox is to have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sandbox.config import loader
from sandbox.config.schema.values import LABEL
from sandbox.errors import UsageError

FILE = "addon.yaml"
SUFFIXES = {".yaml", ".yml", ".json"}
INCLUDED = Path(__file__).parent / "included"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Condition(_Model):
    """A condition that the status of an object has to have, such as Available of an APIService."""

    apiVersion: str
    kind: str
    name: str
    namespace: str | None = None
    condition: str


class Description(_Model):
    """What an addon.yaml says; every workload among the manifests has to become ready anyway."""

    title: str = Field(description="What it is, in a few words.")
    needs: tuple[str, ...] = Field(default=(), description="The sandbox's own addons that have to be there first.")
    images: dict[str, str] = Field(default={}, description="Placeholder -> component of the bundle whose image it is.")
    values: dict[str, str] = Field(default={}, description="Placeholder -> its value where the spec says no other.")
    ready: tuple[Condition, ...] = Field(default=(), description="Conditions that make it ready.")
    instead: str | None = Field(default=None, description="The setting that brings it, when it is no addon.")


@dataclass(frozen=True)
class Addon:
    """An addon and the folder it is in; the folder's name is the addon's."""

    folder: Path
    about: Description

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def files(self) -> tuple[Path, ...]:
        """Return its manifests, in the order of their paths."""
        return tuple(
            file
            for file in sorted(self.folder.rglob("*"))
            if file.suffix in SUFFIXES and file != self.folder / FILE and file.is_file()
        )


def read_addon(folder: Path) -> Addon:
    """Return the addon in `folder`, an absolute path. Raises UsageError."""
    if not re.fullmatch(LABEL, folder.name):
        raise UsageError(
            f"the folder {folder} cannot be an addon",
            details="its name must be lower-case letters, digits and hyphens, with no hyphen first or last",
            fix="rename it",
        )
    about = loader.load(folder / FILE, Description, create="write it: `title: WHAT IT IS` is enough")
    addon = Addon(folder, about)
    if about.instead is None and not addon.files:
        raise UsageError(f"the addon {folder} has no manifests", fix="put *.yaml next to its addon.yaml")
    return addon


def included() -> tuple[Addon, ...]:
    """Return the sandbox's own addons, and those that are a setting of the spec, by name."""
    return tuple(read_addon(path.parent) for path in sorted(INCLUDED.glob(f"*/{FILE}")))


def find_addon(source: str) -> Addon:
    """Return the addon of that name, or the user's own in that folder (an absolute path). Raises UsageError."""
    if "/" in source:
        return read_addon(Path(source))
    known = {addon.name: addon for addon in included()}
    if source not in known:
        names = ", ".join(name for name, addon in known.items() if addon.about.instead is None)
        raise UsageError(
            f"there is no addon '{source}'", fix=f"there is: {names}; for your own folder write ./{source}"
        )
    instead = known[source].about.instead
    if instead is not None:
        raise UsageError(f"'{source}' is a part of the sandbox, not an addon", fix=f"in sandbox.yaml, write {instead}")
    return known[source]


@dataclass(frozen=True)
class Use:
    """An addon that is asked for: its name or the absolute path of its folder, and values for its placeholders."""

    source: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """An addon to have; `by` says who asked: `spec`, `command`, or the addon that needs it."""

    addon: Addon
    source: str
    values: Mapping[str, str]
    by: str


def choose(spec: Iterable[Use], commanded: Iterable[str]) -> tuple[Chosen, ...]:
    """Return the addons to have, each after those it needs; where two have one name, the spec's. Raises UsageError."""
    chosen: dict[str, Chosen] = {}
    for use in spec:
        _add(chosen, use, "spec", ())
    for source in commanded:
        _add(chosen, Use(source), "command", ())
    return tuple(chosen.values())


def _add(chosen: dict[str, Chosen], use: Use, by: str, path: tuple[str, ...]) -> None:
    addon = find_addon(use.source)
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
        chosen[addon.name] = Chosen(addon=addon, source=use.source, values={**addon.about.values, **use.values}, by=by)
    elif known_one.by not in ("spec", "command") and by in ("spec", "command"):
        # Needed by one before and asked for now: its place is right, its values and its reason are these.
        chosen[addon.name] = Chosen(addon=addon, source=use.source, values={**addon.about.values, **use.values}, by=by)
