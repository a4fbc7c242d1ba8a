"""Finds in a project's folder what a sandbox can use: Dockerfiles, compose and skaffold files, manifests, charts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sandbox.bundle.store import Store
from sandbox.components.ingress.controller import CLASS
from sandbox.components.workloads import user_manifests
from sandbox.components.workloads.helm import Helm
from sandbox.config.schema import Chart
from sandbox.engine import engine_images
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.init import apply_choice, compose, dockerfile, skaffold, tiltfile, web_services
from sandbox.init.detected import OBJECTS, SPEC, App, Findings, Item, ToolFile, is_called, label, numbered
from sandbox.init.project_folders import exists, folders, listed, other_sandboxes, shown
from sandbox.kube import manifests
from sandbox.kube.manifests import ingress_hosts
from sandbox.kube.pod_images import pod_images
from sandbox.system.files import is_dir, is_file

MAX_NAMES = 8  # in a note
# The usual names of Dockerfiles; the second one is Podman's.
DOCKERFILES = ("Dockerfile", "Containerfile")
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
    lacking_helm = _lacks_helm(items, store)
    notes[:0] = [lacking_helm] if lacking_helm else []
    if not tool.items and objects and _is_composed(folder) and not any(map(_serves, objects)):
        notes.append("the manifests are left out: no program of the compose file runs in them")
        items, objects = (), ()
    images = _every(_images, objects)
    composed = None if tool.apps else compose.load(folder, profiles, has_manifests=bool(items))
    _require(profiles, {*tool.profiles, *(("*", *composed.profiles) if composed else ())})
    notes += composed.notes if composed else ()
    # Without helm it is not known which images a chart names, and Dockerfiles next to one are often for its tests.
    built = () if lacking_helm and not images else tuple(_built(folder, images, notes))
    apps = tuple(_distinct(_completed(folder, app) for app in tool.apps or (composed.apps if composed else built)))
    if items and composed:  # these keys fit the container of the compose file, and not that of other manifests
        apps = tuple(replace(app, build=_without(app.build, "target", "sync")) for app in apps)
    fronts = tuple(web_services.fronts(objects))
    notes += [*_other_sandboxes(folder), *_absent(folder, apps), *_unread(folder), *_notes_of_objects(objects, fronts)]
    if not (apps or items):
        notes += _projects_below(folder)
    # Next to other files `up` would read these, too.
    has_files = is_dir(folder / OBJECTS) and any(map(is_file, manifests.files(folder / OBJECTS)))
    whole = [app.build.get("dockerfile") for app in apps if app.context == "."]
    return Findings(
        apps,
        items=items,
        hosts=_every(_hosts, objects),
        images=images,
        fronts=fronts,
        notes=tuple(dict.fromkeys(notes)),
        project=composed.project if composed else "",
        needs_gateway_api=apply_choice.needs_gateway_api(objects),
        objects=f"sandbox-{OBJECTS}" if has_files else OBJECTS,
        unfiltered=any(not exists(engine_images.ignore_file(folder, file)) for file in whole),
    )


def _lacks_helm(items: Iterable[Item], store: Store) -> str:
    """Return a note if some of the entries are charts and helm is missing; else nothing."""
    try:
        if any(not isinstance(item, str) and "version" not in item for item in items):
            Helm.find(store)
    except MissingTool as error:
        return f"{error.brief}, so it is unknown what the charts run: {error.fix}; then run `sandbox init` again"
    return ""


def _is_composed(folder: Path) -> bool:
    return any(is_file(folder / name) for name in compose.FILES)


def _serves(manifest: Mapping[str, Any]) -> bool:
    return any(pod_images(manifest)) and manifest["kind"] not in ("CronJob", "Job")


def _notes_of_objects(objects: Sequence[Mapping[str, Any]], fronts: Sequence[Any]) -> Iterator[str]:
    """Yield a note of the kinds that nothing defines, and of the Services that get an Ingress."""
    if unknown := apply_choice.unknown_kinds(objects, set(map(manifests.defined, objects))):
        yield f"nothing here defines some kinds of what is applied: {', '.join(unknown)}; add what does to `apply`"
    services = [str(each["metadata"].get("name")) for each in objects if each["kind"] == "Service"]
    if fronts:
        names = ", ".join(front.name for front in fronts)
        yield f"no manifest is an Ingress; {web_services.FILE} has one for {names}"
    elif services and not any(each["kind"] in web_services.ROUTES for each in objects):
        more = f" and {len(services) - MAX_NAMES} more" if len(services) > MAX_NAMES else ""
        yield (
            f"no manifest is an Ingress, and which Service is a page is unknown "
            f"({', '.join(services[:MAX_NAMES])}{more}): kubectl create ingress PAGE --class={CLASS} "
            f'--rule="PAGE.NAME.sandbox.localhost/*=SERVICE:PORT,tls" --dry-run=client -o yaml '
            f">{web_services.FILE} writes one for `apply`"
        )


def _require(profiles: Collection[str], available: Collection[str]) -> None:
    if missing := [profile for profile in profiles if profile not in available]:
        names = sorted({*available} - {"*"})
        raise UsageError(
            f"the compose or skaffold file has no profile {missing[0]}",
            details=f"profiles: {', '.join(names)}" if names else "",
            fix="name one of these" if names else "leave out --profile",
        )


def _unread(folder: Path) -> Iterator[str]:
    for file, tool in UNREAD.items():
        if exists(folder / file):
            yield f"{file} ({tool}) is not read: write what it builds into images.yaml, and its manifests below `apply`"


def _absent(folder: Path, apps: Iterable[App]) -> Iterator[str]:
    for context in dict.fromkeys(app.context for app in apps if app.context is not None):
        if not is_dir(folder / context):
            yield f"{context}/ is built, and missing in this folder: fetch it before `sandbox up`"


def _other_sandboxes(folder: Path) -> Iterator[str]:
    if others := [shown(folder, place) for place in other_sandboxes(folder)]:
        more = f" and {len(others) - MAX_NAMES} more" if len(others) > MAX_NAMES else ""
        up = shlex.join(["sandbox", "up", "-f", f"{others[0]}{SPEC}"])
        yield f"left out: {', '.join(others[:MAX_NAMES])}{more} (other sandboxes: {up})"


def _projects_below(folder: Path) -> Iterator[str]:
    files = (*skaffold.FILES, tiltfile.FILE, *compose.FILES)
    for place in (folder / ".devcontainer", *folders(folder)):
        if file := next((name for name in files if is_file(place / name)), None):
            below = place.relative_to(folder).as_posix()
            yield f"{below}/{file} is not read: run `sandbox init` in that folder, if all that it builds is in it"


def _without(build: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in build.items() if key not in keys}


def _distinct(apps: Iterable[App]) -> Iterator[App]:
    seen: set[str] = set()
    for app in apps:
        name = numbered(app.name, seen)
        seen.add(name)
        yield replace(app, name=name)


def _built(folder: Path, images: Collection[str], notes: list[str]) -> Iterator[App]:
    """Yield the programs of the folder's Dockerfiles; of one named for a program, if an image is called like it."""
    places = (folder, *folders(folder))
    usual = [file for place in places for file in [place / name for name in DOCKERFILES if is_file(place / name)][:1]]
    programs = [(label("app" if file.parent == folder else file.parent.name), file) for file in usual]
    names = {name for name, _ in programs}
    matches = [(match, file) for place in places for file in listed(place) if (match := _NAMED.fullmatch(file.name))]
    named = [(label(match[1] or match[2]), file) for match, file in matches if is_file(file)]
    programs += [
        (name, file) for name, file in named if name not in names and any(is_called(image, name) for image in images)
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
    """Return the app with the port and the user of its Dockerfile, unless it has a port.

    A command may run another program of the image, such as a worker, which never listens there.
    """
    if app.context is None:
        return app
    file = Path(app.context, app.build.get("dockerfile", "Dockerfile"))
    text, stage = app.recipe or dockerfile.read(folder, file), app.build.get("target")
    app = replace(app, image_user=dockerfile.user(text, stage))
    port = None if app.port else dockerfile.port(text, stage)
    if port and (app.command or app.args):
        return replace(app, more_ports=tuple(dict.fromkeys((*app.more_ports, (port, "tcp")))))
    return replace(app, port=app.port or port)


def _objects(folder: Path, items: Iterable[Item], store: Store) -> tuple[Mapping[str, Any], ...]:
    """Return the objects of entries, as far as they can be read or rendered here; `up` reports what is wrong."""
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


def _every(read: Callable[[Mapping[str, Any]], Iterator[str]], objects: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what `read` yields for all objects, once each; the cluster reports malformed ones."""
    results: dict[str, None] = {}
    for each in objects:
        with suppress(AttributeError, KeyError, TypeError):
            results |= dict.fromkeys(read(each))
    return tuple(results)


def _hosts(manifest: Mapping[str, Any]) -> Iterator[str]:
    if manifest["kind"] == "Ingress":
        yield from ingress_hosts(manifest)


def _images(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield from (image.reference for image in pod_images(manifest))
