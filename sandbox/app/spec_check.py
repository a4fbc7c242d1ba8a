"""Checks a spec with all that it names: addons, images, manifests and charts. Needs neither an engine nor a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.app import context, spec_files, spec_notes
from sandbox.bundle import system_images
from sandbox.bundle.store import Store
from sandbox.components.addons import catalogue
from sandbox.components.workloads import gone_kinds, user_manifests
from sandbox.components.workloads.chart_archives import ChartArchives, described
from sandbox.components.workloads.helm import Helm
from sandbox.config.schema import Spec
from sandbox.images import images_yaml


@dataclass(frozen=True)
class Checked:
    """How many addons, images and objects a valid spec names, of those that it may name, and what may not work."""

    counts: Mapping[str, int]
    notes: tuple[str, ...]


def check(spec: Spec) -> Checked:
    """Read everything that the spec names. Raises UsageError, with file, line and key, for what cannot work."""
    if spec.cluster.supports.node_image:
        system_images.require_known(spec.cluster.kubernetes)
    spec_files.require(spec)
    spec_files.require_contexts(spec)
    spec_files.require_objects(spec)
    counts: dict[str, int] = {}
    if addons := catalogue.without_minikubes(spec):
        counts["addon"] = len(addons)
    if spec.push:
        counts["image"] = len(images_yaml.load(spec.push))
    objects, unseen = _objects(spec)
    if spec.apply:
        counts["object"] = len(objects)
        if spec.cluster.supports.whole_cluster:
            gone_kinds.require(objects, spec.cluster.kubernetes)
    return Checked(counts, (*unseen, *spec_notes.notes(spec, objects)))


def _objects(spec: Spec) -> tuple[Sequence[dict[str, Any]], list[str]]:
    """Return the objects of manifests and charts, and a note for each chart that is not pulled yet."""
    if not spec.apply:
        return [], []
    store, archives = Store(context.home().bundle), ChartArchives(context.home().charts)
    charts = user_manifests.charts(spec.apply)
    objects = [*user_manifests.load(spec.apply, store)]
    for chart in filter(None, map(archives.find, charts)):
        objects += Helm.find(store).render(chart, whole=True)
    missing = archives.missing(charts)
    return objects, [f"not pulled yet, and not looked at: {described(chart)}" for chart in missing]
