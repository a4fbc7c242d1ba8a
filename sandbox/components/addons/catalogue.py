"""The addons that come with the sandbox, users' own, and the choice of those that a sandbox has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.components.addons.addon_file import Description
from sandbox.config import loader
from sandbox.config.schema import Spec
from sandbox.config.schema.values import LABEL
from sandbox.errors import UsageError
from sandbox.kube import manifests

FILE = "addon.yaml"
ASKED = ("spec", "command")  # who may want an addon for itself; others are addons that need it
INCLUDED = Path(__file__).parent / "included"


@dataclass(frozen=True)
class Addon:
    folder: Path
    about: Description

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def files(self) -> tuple[Path, ...]:
        paths = manifests.files(self.folder)
        return tuple(path for path in paths if path != self.folder / FILE and path.is_file())


def read_addon(folder: Path) -> Addon:
    if not re.fullmatch(LABEL, folder.name):
        raise UsageError(
            f"the folder {folder} cannot be an addon",
            details="its name must be lower-case letters, digits and hyphens, with no hyphen first or last",
            fix="rename it",
        )
    about = loader.load(folder / FILE, Description, create="write it: `title: WHAT IT IS` is enough")
    addon = Addon(folder, about)
    if about.instead is None and about.chart is None and not addon.files:
        raise UsageError(
            f"the addon {folder} has no manifests", fix="put *.yaml next to its addon.yaml, or name a `chart:` in it"
        )
    return addon


def names() -> tuple[str, ...]:
    return tuple(path.parent.name for path in sorted(INCLUDED.glob(f"*/{FILE}")))


def included() -> tuple[Addon, ...]:
    return tuple(read_addon(INCLUDED / name) for name in names())


def is_minikubes(spec: Spec, source: str) -> bool:
    """Return whether it is an addon of minikube's own: on its clusters all names are, and no folder is."""
    return spec.cluster.supports.own_addons and "/" not in source


def find_addon(source: str) -> Addon:
    """Return the addon of that name, or the user's own in that folder (an absolute path). Raises UsageError."""
    if "/" in source:
        return read_addon(Path(source))
    if source not in names():
        near = difflib.get_close_matches(source, names(), n=3, cutoff=0.5)
        if len(source) > 2:  # shorter words are in every title
            titles = {addon.name: f"{addon.name} {addon.about.title}".lower() for addon in included()}
            near += [name for name, title in titles.items() if source.lower() in title and name not in near]
        suggestions = ", ".join(near or [addon.name for addon in included() if addon.about.instead is None])
        meant = f"did you mean {suggestions}?" if near else f"it is one of: {suggestions};"
        raise UsageError(f"there is no addon '{source}'", fix=f"{meant} for your own folder write ./{source}")
    addon = read_addon(INCLUDED / source)
    if addon.about.instead is not None:
        raise UsageError(
            f"'{source}' is a part of the sandbox, not an addon", fix=f"in sandbox.yaml, write {addon.about.instead}"
        )
    return addon


def without_minikubes(spec: Spec) -> list[Addon]:
    return [find_addon(use.addon) for use in spec.addons if not is_minikubes(spec, use.addon)]


@dataclass(frozen=True)
class WantedAddon:
    """An addon that is wanted: its name or the absolute path of its folder, and values for its placeholders."""

    source: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ChosenAddon:
    """An addon to install; `by` says who wants it: `spec`, `command`, or the addon that needs it."""

    addon: Addon
    source: str
    values: Mapping[str, str]
    by: str

    @property
    def name(self) -> str:
        return self.addon.name

    @property
    def placeholders(self) -> dict[str, str]:
        return {key: value for key, value in self.values.items() if key in self.addon.about.values}

    @property
    def chart_values(self) -> dict[str, str]:
        return {key: value for key, value in self.values.items() if key not in self.addon.about.values}


def choose(spec: Iterable[WantedAddon], commanded: Iterable[str]) -> tuple[ChosenAddon, ...]:
    """Return the addons to install, each after those it needs; of two with one name, that of the spec."""
    chosen: dict[str, ChosenAddon] = {}
    for use in spec:
        _add(chosen, use, "spec", ())
    for source in commanded:
        _add(chosen, WantedAddon(source), "command", ())
    return tuple(chosen.values())


def _add(chosen: dict[str, ChosenAddon], use: WantedAddon, by: str, path: tuple[str, ...]) -> None:
    addon = find_addon(use.source)
    if addon.name in path:
        raise UsageError(f"addons need each other in a circle: {' → '.join((*path, addon.name))}")
    unknown = sorted(use.values.keys() - addon.about.values.keys())
    if unknown and addon.about.chart is None:  # the others are values of the chart, by path
        values = ", ".join(addon.about.values) or "none"
        raise UsageError(f"the addon '{addon.name}' has no value '{unknown[0]}'", fix=f"it has: {values}")
    for need in addon.about.needs:
        _add(chosen, WantedAddon(need), addon.name, (*path, addon.name))
    before = chosen.get(addon.name)
    # One that an earlier addon needed, and that is now wanted itself, keeps its place, with other values and reason.
    if before is None or (before.by not in ASKED and by in ASKED):
        chosen[addon.name] = ChosenAddon(
            addon=addon, source=use.source, values={**addon.about.values, **use.values}, by=by
        )
