"""Chooses the kustomization of a project's folder that a sandbox applies, among overlays for many places."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sandbox.components.workloads import kustomization
from sandbox.components.workloads.kustomization import Reads
from sandbox.errors import UsageError
from sandbox.init import web_services
from sandbox.init.detected import Item
from sandbox.init.project_folders import DEEPER, folders, mapping_in, shown
from sandbox.kube import manifests
from sandbox.kube.manifests import Manifest
from sandbox.system.files import is_inside

# Names of kustomizations: for development first, then for everything.
PREFERRED = ("dev", "development", "local", "sandbox", "kind", "minikube", "default", "base")
# Names of kustomizations that are for other places than a developer's machine.
ELSEWHERE = {"prod", "production", "live", "stage", "staging", "qa", "uat"}
# Folders in a chart.
PARTS = {"charts", "crds", "templates"}

Render = Callable[[Iterable[Item]], Sequence[Manifest]]


def choose(folder: Path, notes: list[str], render: Render) -> tuple[str, ...]:
    """Return the kustomization to apply: one that no other builds on, preferably one for development.

    Others of its name that have nothing in common with it are those of further programs, and applied too. What is left
    out is added to the notes; `render` returns the objects of items, as far as these can be rendered.
    """
    found = _readable(folder, notes)
    found = {place: read for place, read in found.items() if not _is_variant(folder, place, found, notes)}
    used = {one.resolve() for place, read in found.items() for one in read.local if one != place}
    tops = [place for place in found if place.resolve() not in used] or list(found)
    if not tops:
        return ()
    bases = [place for place in found if place.name == "base"]
    if len(bases) == 1 and all(place.name in ELSEWHERE for place in tops):
        tops += bases
    least = min(_preference(place.name) for place in tops)
    alike = [place for place in tops if _preference(place.name) == least]
    if len(alike) > 1:
        alike = [place for place in alike if web_services.is_reached(render([shown(folder, place)]))] or alike
    best = min(alike, key=lambda place: len(place.parts))
    taken = [best]
    for place in tops:
        is_alike = place.name == best.name and ELSEWHERE.isdisjoint(place.relative_to(folder).parts)
        if is_alike and all(set(found[place].local).isdisjoint(found[one].local) for one in taken):
            defined = {manifests.identity(one) for one in render([shown(folder, one) for one in taken])}
            if defined.isdisjoint(map(manifests.identity, render([shown(folder, place)]))):
                taken.append(place)
    for place in tops:
        if place not in taken:
            notes.append(f"{shown(folder, place)} is another kustomization, and left out")
    names = tuple(shown(folder, place) for place in taken)
    notes.append(f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} applied by `kubectl kustomize`")
    return names


def _readable(folder: Path, notes: list[str]) -> dict[Path, Reads]:
    """Return the kustomizations that read only what is in the folder, with what that is; others are noted."""
    found: dict[Path, Reads] = {}
    for place in (folder, *folders(folder, DEEPER)):
        file = manifests.kustomization(place)
        if file is None or _is_of_chart(folder, place) or not is_inside(folder, file):
            continue
        try:
            if mapping_in(file).get("kind") == "Component":  # a part of others
                continue
            read = kustomization.reads(place)
        except UsageError as error:
            notes.append(f"{shown(folder, place)} is left out: {error.brief.removeprefix(f'{folder}/')}")
            continue
        outside = next((one for one in read.local if not is_inside(folder, one)), None)
        if read.fetched:
            notes.append(f"{shown(folder, place)} is left out: it fetches {read.fetched[0]}")
        elif outside is not None:
            said = os.path.relpath(outside, folder)
            notes.append(f"{shown(folder, place)} is left out: it reads {said}, which is not in this folder")
        else:
            found[place] = read
    return found


def _is_variant(folder: Path, place: Path, found: Mapping[Path, Reads], notes: list[str]) -> bool:
    """Return whether an overlay NAME-VARIANT uses the overlay NAME next to it; add a note that it is left out."""
    for other in found:
        is_named = place.parent == other.parent and place.name.startswith(f"{other.name}-")
        if is_named and other.resolve() in {one.resolve() for one in found[place].local}:
            notes.append(f"{shown(folder, place)} is left out, as a variant of {shown(folder, other)}")
            return True
    return False


def _preference(name: str) -> int:
    return PREFERRED.index(name) if name in PREFERRED else len(PREFERRED) + (name in ELSEWHERE)


def _is_of_chart(folder: Path, place: Path) -> bool:
    """Tell whether the folder is one of those that helm reads in a chart."""
    above = [one for one in place.parents if one.is_relative_to(folder)]
    return any(place.relative_to(one).parts[0] in PARTS and (one / "Chart.yaml").is_file() for one in above)
