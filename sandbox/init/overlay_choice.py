"""Chooses the kustomization of a project's folder that a sandbox applies, among overlays for many places."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sandbox.components.workloads import kustomization
from sandbox.components.workloads.kustomization import Reads
from sandbox.errors import UsageError
from sandbox.init import web_services
from sandbox.init.detected import Item
from sandbox.init.project_folders import DEEPER, folders, has, mapping_in, shown
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

    Others of its name that share no files with it belong to further programs, and are applied too. `render` returns the
    objects of entries, as far as they can be rendered.
    """
    overlays = _readable(folder, notes)
    used = {path.resolve() for place, reads in overlays.items() for path in reads.local if path != place}
    tops = [place for place in overlays if place.resolve() not in used] or list(overlays)
    if not tops:
        return ()
    bases = [place for place in overlays if place.name == "base"]
    if len(bases) == 1 and all(place.name in ELSEWHERE for place in tops):
        tops += bases
    least = min(_preference(place.name) for place in tops)
    preferred = [place for place in tops if _preference(place.name) == least]
    if len(preferred) > 1:
        reached = [place for place in preferred if web_services.is_reached(render([shown(folder, place)]))]
        preferred = reached or preferred
    best = min(preferred, key=lambda place: len(place.parts))
    taken = [best]
    for place in tops:
        is_apart = all(set(overlays[place].local).isdisjoint(overlays[other].local) for other in taken)
        if is_apart and place.name == best.name and ELSEWHERE.isdisjoint(place.relative_to(folder).parts):
            taken.append(place)
    notes += [f"{shown(folder, place)} is another kustomization, and left out" for place in tops if place not in taken]
    return tuple(shown(folder, place) for place in taken)


def _readable(folder: Path, notes: list[str]) -> dict[Path, Reads]:
    """Return the kustomizations that read only files of the folder, with these; others are noted."""
    readable: dict[Path, Reads] = {}
    for place in (folder, *folders(folder, DEEPER)):
        file = manifests.kustomization(place)
        charts = [above for above in place.parents if above.is_relative_to(folder) and has(above, "Chart.yaml")]
        is_in_chart = any(place.relative_to(chart).parts[0] in PARTS for chart in charts)
        if file is None or is_in_chart or not is_inside(folder, file):
            continue
        if mapping_in(file).get("kind") == "Component":  # a part of others
            continue
        try:
            reads = kustomization.reads(place)
        except UsageError as error:
            notes.append(f"{shown(folder, place)} is left out: {error.brief.removeprefix(f'{folder}/')}")
            continue
        outside = next((path for path in reads.local if not is_inside(folder, path)), None)
        if reads.fetched:
            notes.append(f"{shown(folder, place)} is left out: it downloads {reads.fetched[0]}")
        elif outside is not None:
            path = os.path.relpath(outside, folder)
            notes.append(f"{shown(folder, place)} is left out: it reads {path}, which is not in this folder")
        else:
            readable[place] = reads
    return readable


def _preference(name: str) -> int:
    return PREFERRED.index(name) if name in PREFERRED else len(PREFERRED) + (name in ELSEWHERE)
