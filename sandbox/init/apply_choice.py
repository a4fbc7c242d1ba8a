"""Chooses what a sandbox applies of a project's folder: a kustomization, else its manifests, else its charts."""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from sandbox.components.ingress.traefik import TRAEFIK_GROUP
from sandbox.components.workloads import user_manifests
from sandbox.components.workloads.chart_archives import local_dependencies
from sandbox.components.workloads.user_manifests import Reads
from sandbox.config import text_file, untyped, yaml_text
from sandbox.errors import UsageError
from sandbox.init import compose, skaffold
from sandbox.init.detected import IMAGES, LOCK, SPEC, Item, label, numbered, short_list
from sandbox.init.project_folders import (
    DEEPER,
    document,
    folders,
    has,
    is_text,
    listed,
    other_sandboxes,
    shown,
)
from sandbox.kube import manifests
from sandbox.kube.manifests import Manifest
from sandbox.kube.pods import pod_images
from sandbox.system.files import is_inside

# Files of tools among manifests; if there are some, manifests are listed one by one.
TOOL_FILES = (*skaffold.FILES, "Tiltfile", "kind.yaml", "values.yaml", "kind-config.yaml")
MAX_FILES = 500  # a folder with more is something else than manifests of one project
MAX_CHARTS = 9  # charts of one application; a folder with more is a collection
# Kinds that `ingress: {gateway_api: true}` brings.
_GATEWAY_KINDS = {
    ("gateway.networking.k8s.io", kind)
    for kind in ("GRPCRoute", "Gateway", "GatewayClass", "HTTPRoute", "ReferenceGrant", "TCPRoute", "TLSRoute")
}
OWN_FILES = (SPEC, IMAGES, LOCK, *compose.FILES)
# Names of kustomizations: for development first, then for everything.
PREFERRED = ("dev", "development", "local", "sandbox", "kind", "minikube", "default", "base")
# Names of kustomizations that are for other places than a developer's machine.
ELSEWHERE = {"prod", "production", "live", "stage", "staging", "qa", "uat"}
# A line of every Kubernetes object, and of templates that Helm has not filled in.
_API_VERSION = re.compile(r"^apiVersion:", re.MULTILINE)
# Folders in a chart.
PARTS = {"charts", "crds", "templates"}

Render = Callable[[Iterable[Item]], Sequence[Manifest]]


def choose(folder: Path, notes: list[str], render: Render) -> tuple[Item, ...]:
    """Return what to apply: kustomizations, else manifests, or charts if these run more.

    `notes` get what is left out; `render` returns the objects of entries, as far as they can be rendered.
    """
    overlays = _overlays(folder, notes)
    charts = [shown(folder, place) for place in (folder, *folders(folder, DEEPER)) if _is_chart(folder, place)]
    kustomized = [place for place in folders(folder, DEEPER) if manifests.kustomization(place)]
    others = [*(folder / chart for chart in charts), *kustomized, *other_sandboxes(folder)]
    paths = list(_manifests(folder, others, notes))
    if overlays:
        used = [path.resolve() for place in overlays for path in user_manifests.reads(folder / place).local]
        idle = [path for path in paths if not any(each.is_relative_to((folder / path).resolve()) for each in used)]
        notes += _left_out(idle, "the kustomization does not name them")
        notes += _left_out(charts, "charts, and the kustomization is applied")
        return overlays
    chosen = _usable(folder, paths, notes)
    parts = {place.resolve() for chart in charts for place in local_dependencies(folder / chart)}
    releases = tuple(_releases(folder, [chart for chart in charts if (folder / chart).resolve() not in parts]))
    if not chosen or not releases:
        return tuple(chosen) or releases
    rendered = render(releases) if len(releases) <= MAX_CHARTS else ()
    if _count_programs(rendered) > _count_programs(manifests.load([folder / path for path in chosen])):
        notes += _left_out(chosen, "less runs in these manifests than in the charts")
        return releases
    title = "charts" if rendered or len(releases) > MAX_CHARTS else "charts, of which helm renders nothing here"
    notes += _left_out(charts, f"{title}, and the manifests are applied; `{{chart: FOLDER}}` below `apply` adds one")
    return tuple(chosen)


def _left_out(paths: Sequence[str], reason: str) -> list[str]:
    return [f"left out: {short_list(paths)} ({reason})"] if paths else []


def _releases(folder: Path, charts: Iterable[str]) -> Iterator[Item]:
    places = {chart: Path(folder.absolute(), chart) for chart in charts}
    counts = Counter(place.name for place in places.values())
    taken: list[str] = []
    for chart, place in places.items():
        # Where the names of folders repeat, those of the folders above are taken.
        name = place.name if counts[place.name] == 1 else place.parent.name
        taken.append(numbered(label(name), taken))
        yield {"chart": chart.rstrip("/"), "release": taken[-1]}


def _count_programs(objects: Iterable[Manifest]) -> int:
    return sum(any(pod_images(each)) for each in objects)


def _is_chart(folder: Path, place: Path) -> bool:
    file = place / "Chart.yaml"
    if not file.is_file() or not is_inside(folder, file) or (place.parent.parent / "Chart.yaml").is_file():
        return False
    content = untyped.mapping(document(file))
    return bool(content) and content.get("type") != "library"


# Paths whose kinds the cluster will have, and that repeat nothing of the paths before.
def _usable(folder: Path, paths: Iterable[str], notes: list[str]) -> list[str]:
    objects: dict[str, Sequence[Manifest]] = {path: manifests.load([folder / path]) for path in paths}
    defined = {manifests.defined(each) for contents in objects.values() for each in contents}
    split: dict[str, Sequence[Manifest]] = {}
    for path, contents in objects.items():
        # Of a folder where only some files have such kinds, or that defines an object twice, the files are taken.
        is_twice = len(set(map(manifests.identity, contents))) < len(contents)
        if path.endswith("/") and (is_twice or unknown_kinds(contents, defined)):
            files = [(file, manifests.load([file])) for file in manifests.files(folder / path)]
            # Files with most objects first, then shorter names.
            files.sort(key=lambda pair: (-len(pair[1]), pair[0].with_suffix("")))
            split |= {file.relative_to(folder).as_posix(): inner for file, inner in files if inner}
        else:
            split[path] = contents
    usable: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for path, contents in split.items():
        # Two files may each bring the namespace that they are in.
        names = {manifests.identity(each) for each in contents if each["kind"] != "Namespace"}
        if unknown := unknown_kinds(contents, defined):
            notes.append(f"left out: {path} (nothing defines its kinds: {', '.join(unknown)})")
        elif repeated := names & seen:
            _, kind, *_, name = min(repeated)
            notes.append(f"left out: {path} (it repeats {kind} {name} of another file)")
        else:
            usable.append(path)
            seen |= names
    return usable


def needs_gateway_api(objects: Collection[Manifest]) -> bool:
    defined = set(map(manifests.defined, objects))
    kinds = {_group_kind(each) for each in objects}
    return not kinds.isdisjoint(_GATEWAY_KINDS - defined)


def unknown_kinds(objects: Iterable[Manifest], defined: Collection[tuple[str, str]]) -> list[str]:
    unknown: dict[str, None] = {}
    known = {*defined, *_GATEWAY_KINDS}
    for each in objects:
        group, kind = _group_kind(each)
        if not (manifests.is_builtin(group) or group == TRAEFIK_GROUP or (group, kind) in known):
            unknown[f"{kind} ({each['apiVersion']})"] = None
    return list(unknown)


def _group_kind(manifest: Manifest) -> tuple[str, str]:
    return str(manifest["apiVersion"]).rpartition("/")[0], str(manifest["kind"])


# `others` are folders of charts, kustomizations and other sandboxes, whose files are not looked at.
def _manifests(folder: Path, others: Sequence[Path], notes: list[str]) -> Iterator[str]:
    taken = [*others]
    for place in folders(folder):
        if any(place.is_relative_to(other) for other in taken):
            continue
        is_above = any(other.is_relative_to(place) for other in others)
        if not is_above and _holds_objects(folder, place):
            taken.append(place)
            yield shown(folder, place)
        elif is_above or any(file.name in TOOL_FILES for file in listed(place)):
            yield from (file.relative_to(folder).as_posix() for file in _object_files(folder, place, notes))
        elif any(_object_files(folder, place, notes)):
            try:
                manifests.load([place])
            except UsageError as error:
                notes.append(f"left out: {shown(folder, place)} ({error.brief.removeprefix(f'{folder}/')})")
    if folder not in taken:
        yield from (file.name for file in _object_files(folder, folder, notes) if file.name not in OWN_FILES)


def _object_files(folder: Path, place: Path, notes: list[str]) -> Iterator[Path]:
    for file in sorted(islice(place.glob("*.y*ml"), MAX_FILES), key=lambda file: (file.stem, file.name)):
        if _holds_objects(folder, file):
            yield file
        elif fault := _fault(folder, file):
            notes.append(f"left out: {file.relative_to(folder).as_posix()} ({fault})")


def _fault(folder: Path, file: Path) -> str:
    try:
        text = text_file.read(file) if is_inside(folder, file) else ""
        if _API_VERSION.search(text):
            yaml_text.documents(text)
    except yaml_text.Refused as error:
        return str(error)
    except UsageError:  # it is no text
        return ""
    return ""


def _holds_objects(folder: Path, path: Path) -> bool:
    if path.is_dir() and len(list(islice(path.rglob("*"), MAX_FILES))) == MAX_FILES:
        return False
    if not all(is_inside(folder, file) and is_text(file.name) for file in manifests.files(path)):
        return False
    try:
        return bool(manifests.load([path]))
    except UsageError:
        return False


# The kustomization to apply is one that no other builds on, preferably one for development.
def _overlays(folder: Path, notes: list[str]) -> tuple[str, ...]:
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
    best = min(preferred, key=lambda place: len(place.parts))
    taken = [best]
    for place in tops:
        # Others of its name that share no files with it belong to further programs, and are applied too.
        is_apart = all(set(overlays[place].local).isdisjoint(overlays[other].local) for other in taken)
        if is_apart and place.name == best.name and ELSEWHERE.isdisjoint(place.relative_to(folder).parts):
            taken.append(place)
    notes += [f"{shown(folder, place)} is another kustomization, and left out" for place in tops if place not in taken]
    return tuple(shown(folder, place) for place in taken)


def _readable(folder: Path, notes: list[str]) -> dict[Path, Reads]:
    readable: dict[Path, Reads] = {}
    for place in (folder, *folders(folder, DEEPER)):
        file = manifests.kustomization(place)
        charts = [above for above in place.parents if above.is_relative_to(folder) and has(above, "Chart.yaml")]
        is_in_chart = any(place.relative_to(chart).parts[0] in PARTS for chart in charts)
        if file is None or is_in_chart or not is_inside(folder, file):
            continue
        with suppress(UsageError):
            if untyped.at(document(file), "kind") == "Component":  # a part of others
                continue
        try:
            reads = user_manifests.reads(place)
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
