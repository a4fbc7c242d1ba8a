"""Finds in a project's folder what a sandbox can use: Dockerfiles, compose and skaffold files, manifests, charts."""

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sandbox.bundle.store import Store
from sandbox.components.ingress.served_hosts import CLASS
from sandbox.components.workloads import user_manifests
from sandbox.components.workloads.helm import Helm
from sandbox.config.schema import Chart
from sandbox.engine import engine_images
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.init import apply_choice, compose, dockerfile, kubernetes_objects, skaffold, tiltfile
from sandbox.init.detected import (
    OBJECTS,
    SPEC,
    App,
    Findings,
    Front,
    Item,
    ToolFile,
    is_called,
    label,
    numbered,
    short_list,
)
from sandbox.init.kubernetes_objects import INGRESS_FILE, ROUTES
from sandbox.init.project_folders import exists, folders, listed, other_sandboxes, shown
from sandbox.kube import manifests
from sandbox.kube.manifests import ingress_hosts
from sandbox.kube.pods import pod_images
from sandbox.system.files import is_dir, is_file

# The usual names of Dockerfiles, of which a folder's first one counts; the second one is Podman's.
DOCKERFILES = ("Dockerfile", "Containerfile", "Dockerfile.dev")
# Files of other tools.
UNREAD = {
    ".ddev/config.yaml": "DDEV",
    "devfile.yaml": "odo",
    "devspace.yaml": "DevSpace",
    "docker-bake.hcl": "buildx",
    "garden.yml": "Garden",
    "helmfile.yaml": "helmfile",
    "okteto.yml": "Okteto",
    "werf.yaml": "werf",
}
# A Dockerfile that is named for a program: Dockerfile.web or web.Dockerfile.
_NAMED = re.compile(
    r"(?:docker|container)file[.-](?!.*dockerignore$)(.+)|(.+)\.(?:docker|container)file", re.IGNORECASE
)


def look(folder: Path, store: Store, profiles: Collection[str] = ()) -> Findings:
    """Return what the folder contains. Raises UsageError for a compose file that cannot be read, or no such profile.

    `store` has the kubectl and helm of machines without them, which render kustomizations and charts to find hosts and
    images; `profiles` are those of the compose or skaffold file to use.
    """
    folder = folder.absolute()
    tool = skaffold.load(folder, profiles) or tiltfile.load(folder) or ToolFile()
    notes = list(tool.notes)
    render = partial(_objects, folder, store=store)
    items = tool.items or apply_choice.choose(folder, notes, render)
    objects = render(items)
    lacks_helm = False
    try:
        if any(not isinstance(item, str) and "version" not in item for item in items):
            Helm.find(store)
    except MissingTool as error:
        lacks_helm = True
        notes.insert(
            0, f"{error.brief}, so it is unknown what the charts run: {error.fix}; then run `sandbox init` again"
        )
    is_composed = any(is_file(folder / name) for name in compose.FILES)
    serving = (any(pod_images(each)) and each["kind"] not in ("CronJob", "Job") for each in objects)
    if not tool.items and objects and is_composed and not any(serving):
        notes.append("the manifests are left out: no program of the compose file runs in them")
        items, objects = (), ()
    images = _distinct(pod_images, objects)
    composed = None if tool.apps else compose.load(folder, profiles, has_manifests=bool(items))
    _require(profiles, {*tool.profiles, *(("*", *composed.profiles) if composed else ())})
    notes += composed.notes if composed else ()
    found = tool.apps or (composed.apps if composed else None)
    # Without helm it is not known which images a chart names, and Dockerfiles next to one are often for its tests.
    if found is None:
        found = () if lacks_helm and not images else tuple(_built(folder, images, notes))
    apps: list[App] = []
    for app in found:
        build = app.build
        if items and composed:  # these keys fit the container of the compose file, and not that of other manifests
            build = {key: value for key, value in build.items() if key not in ("target", "sync")}
        name = numbered(app.name, [other.name for other in apps])
        apps.append(replace(_completed(folder, app), name=name, build=build))
    fronts = tuple(kubernetes_objects.fronts(objects))
    notes += [*_notes_of_folder(folder, apps), *_notes_of_objects(objects, fronts)]
    if not (apps or items):
        notes += _projects_below(folder)
    # Next to other files `up` would read these, too.
    has_files = is_dir(folder / OBJECTS) and any(map(is_file, manifests.files(folder / OBJECTS)))
    whole = [app.build.get("dockerfile") for app in apps if app.context == "."]
    return Findings(
        tuple(apps),
        items=items,
        hosts=_distinct(lambda each: ingress_hosts(each) if each["kind"] == "Ingress" else (), objects),
        images=images,
        fronts=fronts,
        notes=tuple(dict.fromkeys(notes)),
        project=composed.project if composed else "",
        needs_gateway_api=apply_choice.needs_gateway_api(objects),
        objects=f"sandbox-{OBJECTS}" if has_files else OBJECTS,
        unfiltered=any(not exists(engine_images.ignore_file(folder, file)) for file in whole),
    )


def _notes_of_folder(folder: Path, apps: Iterable[App]) -> Iterator[str]:
    if others := [shown(folder, place) for place in other_sandboxes(folder)]:
        up = shlex.join(["sandbox", "up", "-f", f"{others[0]}{SPEC}"])
        yield f"left out: {short_list(others)} (other sandboxes: {up})"
    built = [app for app in apps if app.context is not None and not app.recipe]
    places = (Path(app.context or ".", app.build.get("dockerfile", DOCKERFILES[0])) for app in built)
    for place in dict.fromkeys(places):
        if not exists(folder / place):
            yield f"{place} is missing in this folder: add it, or fetch the submodule that has it, before `sandbox up`"
    for file, tool in UNREAD.items():
        if exists(folder / file):
            yield f"{file} ({tool}) is not read: write what it builds into images.yaml, and its manifests below `apply`"


def _notes_of_objects(objects: Sequence[Mapping[str, Any]], fronts: Sequence[Front]) -> Iterator[str]:
    if unknown := apply_choice.unknown_kinds(objects, set(map(manifests.defined, objects))):
        yield f"nothing here defines some kinds of what is applied: {', '.join(unknown)}; add what does to `apply`"
    services = [str(each["metadata"].get("name")) for each in objects if each["kind"] == "Service"]
    if fronts:
        names = ", ".join(front.name for front in fronts)
        yield f"no manifest is an Ingress; {INGRESS_FILE} has one for {names}"
    elif services and not any(each["kind"] in ROUTES for each in objects):
        yield (
            f"no manifest is an Ingress, and which Service is a page is unknown "
            f"({short_list(services)}): kubectl create ingress PAGE --class={CLASS} "
            f'--rule="PAGE.NAME.sandbox.localhost/*=SERVICE:PORT,tls" --dry-run=client -o yaml '
            f">{INGRESS_FILE} writes one for `apply`"
        )


def _require(profiles: Collection[str], available: Collection[str]) -> None:
    if missing := [profile for profile in profiles if profile not in available]:
        names = sorted({*available} - {"*"})
        raise UsageError(
            f"the compose or skaffold file has no profile {missing[0]}",
            details=f"profiles: {', '.join(names)}" if names else "",
            fix="name one of these" if names else "leave out --profile",
        )


def _projects_below(folder: Path) -> Iterator[str]:
    files = (*skaffold.FILES, tiltfile.FILE, *compose.FILES)
    for place in (folder / ".devcontainer", *folders(folder)):
        if file := next((name for name in files if is_file(place / name)), None):
            below = place.relative_to(folder).as_posix()
            yield f"{below}/{file} is not read: run `sandbox init` in that folder, if all that it builds is in it"


def _built(folder: Path, images: Collection[str], notes: list[str]) -> Iterator[App]:
    places = (folder, *folders(folder))
    usual = [file for place in places for file in [place / name for name in DOCKERFILES if is_file(place / name)][:1]]
    programs = [(label("app" if file.parent == folder else file.parent.name), file) for file in usual]
    names = {name for name, _ in programs}
    matches = [(match, file) for place in places for file in listed(place) if (match := _NAMED.fullmatch(file.name))]
    named = [(label(match[1] or match[2]), file) for match, file in matches if is_file(file)]
    programs += [
        (name, file)
        for name, file in named
        if file not in usual and name not in names and any(is_called(image, name) for image in images)
    ]
    if named and not programs:
        files = ", ".join(file.relative_to(folder).as_posix() for _, file in named)
        notes.append(f"{files}: no image of a manifest has such a name; images.yaml can name it with `dockerfile:`")
    for name, file in programs:
        place = file.parent
        sources = list(dockerfile.sources(dockerfile.read(folder, file)))
        if place != folder and any(exists(folder / path) and not exists(place / path) for path in sources):
            notes.append(f"{file.relative_to(folder).as_posix()} is built from this folder, which has what it copies")
            place = folder
        inside = file.relative_to(place).as_posix()
        build = {} if inside == DOCKERFILES[0] else {"dockerfile": inside}
        yield App(name, context=place.relative_to(folder).as_posix(), build=build)


def _completed(folder: Path, app: App) -> App:
    if app.context is None or app.port:
        return app
    file = Path(app.context, app.build.get("dockerfile", "Dockerfile"))
    text, stage = app.recipe or dockerfile.read(folder, file), app.build.get("target")
    port = dockerfile.port(text, stage)
    # A command may run another program of the image, such as a worker, which never listens there.
    if port and (app.command or app.args):
        return replace(app, more_ports=tuple(dict.fromkeys((*app.more_ports, (port, "tcp")))))
    return replace(app, port=port)


def _objects(folder: Path, items: Iterable[Item], store: Store) -> tuple[Mapping[str, Any], ...]:
    objects: list[Mapping[str, Any]] = []
    for item in items:
        with suppress(SandboxError):
            if isinstance(item, str):
                objects += user_manifests.load([folder / item], store)
            elif "version" not in item:  # `up` pulls those from elsewhere
                values = tuple(folder / path for path in item.get("values", ()))
                chart = {**item, "chart": folder / item["chart"], "values": values}
                objects += Helm.find(store).render(Chart.model_validate(chart), whole=True)
    return tuple(objects)


def _distinct(
    read: Callable[[Mapping[str, Any]], Iterable[str]], objects: Iterable[Mapping[str, Any]]
) -> tuple[str, ...]:
    results: dict[str, None] = {}
    for each in objects:
        with suppress(AttributeError, KeyError, TypeError):  # the cluster reports malformed objects
            results |= dict.fromkeys(read(each))
    return tuple(results)
