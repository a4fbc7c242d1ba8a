"""Chooses what a sandbox applies of a project's folder: a kustomization, else its manifests, else its charts."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.components.ingress.traefik import TRAEFIK_GROUP
from sandbox.components.workloads import chart_dependencies, gone_kinds, kustomization
from sandbox.config import untyped
from sandbox.errors import BadFile, UsageError
from sandbox.init import compose, overlay_choice, skaffold
from sandbox.init.detected import IMAGES, LOCK, SPEC, Item, label, numbered
from sandbox.init.project_folders import DEEPER, folders, is_text, listed, mapping_in, other_sandboxes, shown
from sandbox.init.web_services import ROUTES
from sandbox.kube import manifests
from sandbox.kube.manifests import Manifest
from sandbox.kube.pod_images import pod_images
from sandbox.system.files import is_dir, is_inside

# Files of tools among manifests; if there are some, manifests are listed one by one.
MIXED = (*skaffold.FILES, "Tiltfile", "kind.yaml", "values.yaml", "kind-config.yaml")
MOST = 500  # manifests of one project; a folder with more is something else
FEW = 9  # charts of one application; a folder with more is a collection
# Kinds that `ingress: {gateway_api: true}` brings, and the class of the sandbox's Gateways.
GATEWAY_GROUP, GATEWAY_CLASS = "gateway.networking.k8s.io", "traefik"
GATEWAY_KINDS = {"GRPCRoute", "Gateway", "GatewayClass", "HTTPRoute", "ReferenceGrant", "TCPRoute", "TLSRoute"}
# Names of folders with outdated files.
OLD = {"archive", "archived", "_archived", "deprecated", "legacy", "old"}
OURS = (SPEC, IMAGES, LOCK, *compose.FILES)


def choose(folder: Path, notes: list[str], render: overlay_choice.Render) -> tuple[Item, ...]:
    """Return what to apply: overlays, else manifests, or charts where these run more.

    What is left out is added to the notes; `render` returns the objects of items, as far as these can be rendered.
    """
    overlays = overlay_choice.choose(folder, notes, render)
    charts = [shown(folder, place) for place in (folder, *folders(folder, DEEPER)) if _is_chart(folder, place)]
    kustomized = [place for place in folders(folder, DEEPER) if manifests.kustomization(place)]
    taken = [*(folder / one for one in charts), *kustomized, *other_sandboxes(folder)]
    written = list(_manifests(folder, taken, notes))
    if overlays:
        notes += _idle_charts(charts)
        used = [path.resolve() for one in overlays for path in kustomization.reads(folder / one).local]
        idle = (one for one in written if not any(path.is_relative_to((folder / one).resolve()) for path in used))
        notes += [f"{one} is left out, since the kustomization does not name it" for one in idle]
        return overlays
    notes += [f"{path} is left out, by its name" for path in written if _is_old(path)]
    found = _with_kinds(folder, (path for path in written if not _is_old(path)), notes)
    combined = dict(_combined(folder, charts))
    charts = [one for one in charts if one not in combined]
    releases = tuple(_releases(folder, charts))
    if found and charts:
        running = _programs(manifests.load([folder / path for path in found]))
        if running and (len(charts) > FEW or _programs(render(releases)) <= running):
            releases = ()
        elif running:
            more = f" and {len(found) - FEW} more" if len(found) > FEW else ""
            notes.append(f"left out, since less runs in these than in the charts: {', '.join(found[:FEW])}{more}")
            found = []
        else:
            notes += [f"{path} is left out, since nothing in it runs: below `apply` it is taken, too" for path in found]
            found = []
    if found:
        notes += _idle_charts(charts)
        return tuple(found)
    notes += combined.values()
    return releases


def incomplete(folder: Path, items: Iterable[Item]) -> Iterator[str]:
    """Yield a note for each of the charts of the folder that lacks others, without which helm renders nothing."""
    for one in items:
        if not isinstance(one, str) and "version" not in one and (lacking := list(_lacking(folder / one["chart"]))):
            where = f"{one['chart']}/"
            yield f"{where} is a chart without {', '.join(lacking)} in its charts/: helm dependency build {where}"


def _idle_charts(charts: Iterable[str]) -> Iterator[str]:
    return (f"{one} is a chart, and left out: {{chart: {one}}} below `apply` takes it" for one in charts)


def _releases(folder: Path, charts: Iterable[str]) -> Iterator[Item]:
    """Yield the charts with names of releases: those of their folders, or of the folders above if these repeat."""
    places = {one: Path(folder.absolute(), one) for one in charts}
    alike = Counter(label(place.name) for place in places.values())
    taken: set[str] = set()
    for one, place in places.items():
        own = label(place.name)
        name = numbered(own if alike[own] == 1 else label(place.parent.name), taken)
        taken.add(name)
        yield {"chart": one.rstrip("/"), "release": name}


def _programs(objects: Iterable[Manifest]) -> int:
    """Return how many of the objects run something."""
    return sum(any(pod_images(one)) for one in objects)


def _combined(folder: Path, charts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the charts that run in others of the folder, or that only consist of others and lack them; and a note."""
    places = {(folder / one).resolve(): one for one in charts}
    for one in charts:
        entries = map(Path.resolve, chart_dependencies.local(folder / one).values())
        parts = [places[path] for path in entries if path in places]
        if parts and any(_lacking(folder / one)):
            yield one, f"{one} is left out, since it lacks charts that are taken by themselves: {', '.join(parts)}"
        else:
            yield from ((part, f"{part} is left out, since it is a part of {one}") for part in parts)


def _lacking(chart: Path) -> Iterator[str]:
    """Yield the dependencies that a chart's folder lacks and `up` does not pull, without which helm renders nothing."""
    needed = [one.get("name") for one in chart_dependencies.needed(chart)]
    pulled: set[str] = set()
    with suppress(UsageError):  # `up` reports it
        pulled = set(chart_dependencies.lacking(chart))
        pulled |= chart_dependencies.unpacked(chart).keys()
    for name in needed:
        if isinstance(name, str) and "/" not in name and name not in pulled:
            packed = list((chart / "charts").glob(f"{glob.escape(name)}-*.tgz"))
            yield from () if packed or is_dir(chart / "charts" / name) else (name,)


def _is_old(path: str) -> bool:
    return not OLD.isdisjoint(path.split("/"))


def _is_chart(folder: Path, place: Path) -> bool:
    """Tell whether the folder is a chart that can be installed, and not part of another one."""
    file = place / "Chart.yaml"
    if not file.is_file() or not is_inside(folder, file) or (place.parent.parent / "Chart.yaml").is_file():
        return False
    content: Mapping[str, Any] = {}
    with suppress(UsageError):
        content = mapping_in(file)
    return bool(content) and content.get("type") != "library"


def _with_kinds(folder: Path, paths: Iterable[str], notes: list[str]) -> list[str]:
    """Return the paths whose kinds the cluster will have, and that contain something not in the paths before.

    Of a folder where only some files have such kinds, or that defines an object twice, it is the files.
    """
    given = {path: manifests.load([folder / path]) for path in paths}
    defined = {manifests.defined(one) for objects in given.values() for one in objects}
    loaded: dict[str, Sequence[Manifest]] = {}
    for path, objects in given.items():
        files: dict[str, Sequence[Manifest]] = dict(_files(folder, path)) if path.endswith("/") else {path: objects}
        usable = [file for file, ones in files.items() if not unknown_kinds(ones, defined)]
        is_mixed = 0 < len(usable) < len(files)
        is_twice = len({manifests.identity(one) for one in objects}) < len(objects)
        loaded |= files if is_mixed or is_twice else {path: objects}
    for path, variants in _variants(loaded).items():
        notes.append(f"left out, as variants of {path}: {', '.join(variants)}")
        loaded = {one: objects for one, objects in loaded.items() if one not in variants}
    found: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for path, content in loaded.items():
        # Two files may each bring the namespace that they are in.
        names = {manifests.identity(one) for one in content if one["kind"] != "Namespace"}
        if unknown := unknown_kinds(content, defined):
            notes.append(f"{path} is left out, since nothing defines its kinds: {', '.join(unknown)}")
        elif classes := other_gateways(content):
            notes.append(
                f"{path} is left out, since a sandbox has no Gateways of the class {', '.join(classes)}: with "
                f"`gatewayClassName: {GATEWAY_CLASS}` it can be added to `apply`"
            )
        elif twice := names & seen:
            what = "what" if names <= seen else f"some of what ({min(twice)[1]} {min(twice)[-1]}, …)"
            notes.append(f"{path} is left out, since {what} it says others say before it")
        else:
            found.append(path)
            seen |= names
    return found


def _variants(loaded: Mapping[str, Sequence[Manifest]]) -> dict[str, list[str]]:
    """Return the variants of files: NAME-VARIANT.yaml next to NAME.yaml, where one of them repeats an object of it.

    Without such a repetition they are parts of one application. Routes to its Services fit any variant.
    """
    found: dict[str, list[str]] = {}
    taken: set[str] = set()
    for path in sorted((one for one in loaded if not one.endswith("/")), key=len):
        stem = PurePosixPath(path).with_suffix("").as_posix()
        named = [one for one in loaded if one.startswith((f"{stem}-", f"{stem}.", f"{stem}_")) and one != path]
        own = set(map(manifests.identity, loaded[path]))
        if path not in taken and any(not own.isdisjoint(map(manifests.identity, loaded[one])) for one in named):
            found[path] = [one for one in named if not all(each["kind"] in ROUTES for each in loaded[one])]
            taken.update(found[path])
    return found


def other_gateways(objects: Iterable[Manifest]) -> list[str]:
    """Return the classes of Gateways that a sandbox does not serve."""
    gateways = (one for one in objects if one["kind"] == "Gateway" and _group(one) == GATEWAY_GROUP)
    classes = (untyped.at(one, "spec", "gatewayClassName") for one in gateways)
    return sorted({str(one) for one in classes if one and one != GATEWAY_CLASS})


def needs_gateway_api(objects: Collection[Manifest]) -> bool:
    """Return whether objects use kinds of the Gateway API without bringing their definitions (CRDs)."""
    defined = set(map(manifests.defined, objects))
    found = ((_group(one), one["kind"]) for one in objects)
    return any(each[0] == GATEWAY_GROUP and each[1] in GATEWAY_KINDS and each not in defined for each in found)


def _group(one: Manifest) -> str:
    return str(one["apiVersion"]).rpartition("/")[0]


def gone(items: Iterable[tuple[Item, Sequence[Manifest]]]) -> Iterator[str]:
    """Yield a note for each item among whose objects is one of a kind or version that no cluster has."""
    for item, objects in items:
        try:
            gone_kinds.require(objects, None)
        except BadFile as error:
            yield f"before `sandbox up`, in {named(item)}: {error.fix} ({error.brief})"


def named(item: Item) -> str:
    """Return what an item is called in a note."""
    return item if isinstance(item, str) else str(item["chart"])


def unknown_kinds(objects: Iterable[Manifest], defined: Collection[tuple[str, str]]) -> dict[str, None]:
    """Return the kinds that no sandbox has and that are not among those that the project has `defined`, in words."""
    parts = ((_group(one), one) for one in objects)
    others = ((group, one) for group, one in parts if not manifests.is_builtin(group) and group != TRAEFIK_GROUP)
    known = {*defined, *((GATEWAY_GROUP, kind) for kind in GATEWAY_KINDS)}
    unknown = (one for group, one in others if (group, one["kind"]) not in known)
    return dict.fromkeys(f"{one['kind']} ({one['apiVersion']})" for one in unknown)


def _files(folder: Path, path: str) -> list[tuple[str, Sequence[Manifest]]]:
    """Return the files of a folder with their objects: those with most first, then those with shorter names."""
    files = [(file, manifests.load([file])) for file in manifests.files(folder / path)]
    files.sort(key=lambda pair: (-len(pair[1]), pair[0].with_suffix("")))
    return [(file.relative_to(folder).as_posix(), objects) for file, objects in files if objects]


def _manifests(folder: Path, others: Sequence[Path], notes: list[str]) -> Iterator[str]:
    """Yield files and folders that contain Kubernetes objects; of a folder that contains other files, its files.

    What is in the `others`, folders of charts, kustomizations and other sandboxes, is theirs.
    """
    taken = [*others]
    for place in folders(folder):
        if any(place.is_relative_to(one) for one in taken):
            continue
        above = any(one.is_relative_to(place) for one in others)
        if not above and _holds_objects(folder, place):
            taken.append(place)
            yield shown(folder, place)
        elif above or any(file.name in MIXED for file in listed(place)):
            yield from (file.relative_to(folder).as_posix() for file in _object_files(folder, place))
        elif len(list(place.glob("*.y*ml"))) < MOST and any(_object_files(folder, place)):
            try:
                manifests.load([place])
            except UsageError as error:
                notes.append(f"{shown(folder, place)} is left out: {error.brief.removeprefix(f'{folder}/')}")
    if folder not in taken:
        yield from (file.name for file in _object_files(folder, folder) if file.name not in OURS)


def _object_files(folder: Path, place: Path) -> Iterator[Path]:
    files = sorted(place.glob("*.y*ml"), key=lambda file: (file.stem, file.name))  # NAME before NAME-VARIANT
    return (file for file in files if _holds_objects(folder, file))


def _holds_objects(folder: Path, path: Path) -> bool:
    if path.is_dir() and len(list(islice(path.rglob("*"), MOST))) == MOST:
        return False
    if not all(is_inside(folder, file) and is_text(file.name) for file in manifests.files(path)):
        return False
    try:
        return bool(manifests.load([path]))
    except UsageError:
        return False
