"""Finds in a project's folder what a sandbox can use: Dockerfiles, compose and skaffold files, manifests, charts."""

from __future__ import annotations

import os
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
from sandbox.components.workloads import chart_dependencies, user_manifests
from sandbox.components.workloads.helm import Helm
from sandbox.config.schema import Chart
from sandbox.engine import engine_images
from sandbox.errors import BadFile, MissingTool, SandboxError, UsageError
from sandbox.images import build_order
from sandbox.init import apply_choice, compose, dockerfile, skaffold, tiltfile, web_services
from sandbox.init.detected import (
    IMAGES,
    OBJECTS,
    SPEC,
    App,
    Found,
    Front,
    Item,
    Told,
    is_called,
    label,
    numbered,
    untagged,
)
from sandbox.init.project_folders import exists, folders, listed, other_sandboxes, shown
from sandbox.kube import manifests
from sandbox.kube.manifests import ingress_hosts
from sandbox.kube.pod_images import pod_images
from sandbox.system.files import is_dir, is_file

FEW = 8  # names in a note
# The usual names of Dockerfiles; the second one is Podman's.
DOCKERFILES = ("Dockerfile", "Containerfile")
# Files of other tools.
UNREAD = {
    ".ddev/config.yaml": "DDEV",
    "devfile.yaml": "odo",
    ".devfile.yaml": "odo",
    "devspace.yaml": "DevSpace",
    "garden.yml": "Garden",
    "helmfile.d": "helmfile",
    "helmfile.yaml": "helmfile",
    "project.garden.yml": "Garden",
    "okteto.yml": "Okteto",
    "werf.yaml": "werf",
    "docker-bake.hcl": "buildx",
    "docker-bake.json": "buildx",
}


def look(folder: Path, store: Store, profiles: Collection[str] = ()) -> Found:
    """Return what the folder contains. Raises UsageError for a compose file that cannot be read, or no such profile.

    `store` has the kubectl and helm of machines without them, which render kustomizations and charts to find hosts and
    images; `profiles` are those of the compose or skaffold file that are wanted too.
    """
    folder = folder.absolute()
    told = skaffold.load(folder, profiles) or tiltfile.load(folder) or Told()
    notes = list(told.notes)
    chosen: list[str] = []
    rendered = partial(_objects, folder, store=store)
    applied = told.items or apply_choice.choose(folder, chosen, rendered)
    if lacking := _lacks_helm(applied, store):
        notes.insert(0, lacking)
    wrong: list[BadFile] = []
    given = [(one, rendered([one], wrong=wrong)) for one in applied]
    objects = tuple(each for _, ones in given for each in ones)
    if not told.items and objects and _is_composed(folder) and not any(map(_serves, objects)):
        names = map(apply_choice.named, applied)
        chosen += (f"{one} is left out, since no program of the compose file runs in it" for one in names)
        applied, given, objects, wrong = (), [], (), []
    images = _every(_images, objects)
    composed = None if told.apps else compose.load(folder, profiles, has_manifests=bool(applied))
    _require(profiles, {*told.profiles, *(("*", *composed.profiles) if composed else ())})
    notes += composed.notes if composed else ()
    if not told.apps and not composed and not applied:
        notes += _projects_below(folder)
    # Without helm it is not known which images a chart names, and Dockerfiles next to one are often for its tests.
    built = () if lacking and not images else tuple(_built(folder, images, notes))
    programs = told.apps or (composed.apps if composed else built)
    named = {untagged(name) for app in programs for name in app.names}
    apps = tuple(_distinct(_read(folder, app, named) for app in programs))
    # Next to other files `up` would read these, too.
    written = f"sandbox-{OBJECTS}" if apps and not applied and _has_files(folder / OBJECTS) else OBJECTS
    fronts = tuple(web_services.fronts(objects, told.forwarded))
    ours = (SPEC, IMAGES) if applied else (SPEC, IMAGES, f"{written}/app.yaml")
    notes += (
        *chosen,
        *apply_choice.incomplete(folder, applied),
        *_other_sandboxes(folder),
        *_absent(folder, apps),
        *_unread(folder),
        *_included(folder, apps, ours),
        *apply_choice.gone(given),
        *(f"before `sandbox up`: {one.brief.replace(f'{folder}/', '')}{_reason(one)}" for one in wrong),
        *_lacking(objects, fronts),
    )
    return Found(
        apps,
        manifests=applied,
        hosts=_every(_hosts, objects),
        images=images,
        fronts=fronts,
        names=_every(lambda each: iter([each["metadata"]["name"]]), objects),
        notes=tuple(notes),
        project=composed.name if composed else "",
        is_composed=composed is not None,
        needs_gateway_api=apply_choice.needs_gateway_api(objects),
        objects=written,
        unfiltered=any(not os.path.lexists(one) for one in _ignore_files(folder, apps).values()),
    )


def _lacks_helm(items: Iterable[Item], store: Store) -> str:
    """Return a note if some of the items are charts and there is no helm; else nothing."""
    try:
        if any(not isinstance(one, str) and "version" not in one for one in items):
            Helm.find(store)
    except MissingTool as error:
        return f"{error.brief}, so nothing is known of what the charts run: {error.fix}; then run `sandbox init` again"
    return ""


def _is_composed(folder: Path) -> bool:
    return any(is_file(folder / one) for one in compose.FILES)


def _serves(one: Mapping[str, Any]) -> bool:
    """Tell whether an object runs something that does not end."""
    return any(pod_images(one)) and one["kind"] not in ("CronJob", "Job")


def _lacking(objects: Sequence[Mapping[str, Any]], fronts: Sequence[Front]) -> Iterator[str]:
    """Yield a note of the kinds that nothing defines, and of the Services that get an Ingress."""
    if unknown := apply_choice.unknown_kinds(objects, set(map(manifests.defined, objects))):
        yield f"nothing here defines some kinds of what is applied: {', '.join(unknown)}; add what does to `apply`"
    services = [str(one["metadata"].get("name")) for one in objects if one["kind"] == "Service"]
    if fronts:
        named = ", ".join(one.name for one in fronts)
        yield f"no manifest is an Ingress; {web_services.FILE} has one for {named}"
    elif services and not any(one["kind"] in web_services.ROUTES for one in objects):
        more = f" and {len(services) - FEW} more" if len(services) > FEW else ""
        yield (
            f"no manifest is an Ingress, and which Service is a page is not known ({', '.join(services[:FEW])}{more}): "
            f'kubectl create ingress PAGE --class={CLASS} --rule="PAGE.NAME.sandbox.localhost/*=SERVICE:PORT,tls" '
            f"--dry-run=client -o yaml >{web_services.FILE} writes one for `apply`"
        )


def _require(wanted: Collection[str], known: Collection[str]) -> None:
    if lost := [one for one in wanted if one not in known]:
        names = sorted({*known} - {"*"})
        raise UsageError(
            f"there is no profile {lost[0]}",
            details=f"known: {', '.join(names)}" if names else "no compose or skaffold file here has profiles",
            fix="name one of these" if names else "leave out --profile",
        )


def _unread(folder: Path) -> Iterator[str]:
    """Yield a note for each file of another tool that was not read."""
    for file, tool in UNREAD.items():
        if exists(folder / file):
            goes = "what it builds goes into images.yaml, and what it applies below `apply`"
            yield f"{file} ({tool}) is not read: {goes}"


def _absent(folder: Path, apps: Iterable[App]) -> Iterator[str]:
    """Yield a note for each folder that is built and that is not there: a submodule, or what a tool fetches."""
    for context in dict.fromkeys(one.context for one in apps if one.context is not None):
        if not is_dir(folder / context):
            yield f"{context}/ is built, and not in this folder: fetch it before `sandbox up`"


def _other_sandboxes(folder: Path) -> Iterator[str]:
    """Yield a note of the folders below that are other sandboxes."""
    if others := [shown(folder, one) for one in other_sandboxes(folder)]:
        up = shlex.join(["sandbox", "up", "-f", f"{others[0]}{SPEC}"])
        yield f"left out, with a {SPEC} of their own: {', '.join(others)} ({up})"


def _projects_below(folder: Path) -> Iterator[str]:
    """Yield a note for each folder below, also an editor's, that has a file of a tool that is read."""
    files = (*skaffold.FILES, tiltfile.FILE, *compose.FILES)
    for place in (folder / ".devcontainer", *folders(folder)):
        if file := next((one for one in files if is_file(place / one)), None):
            below = place.relative_to(folder).as_posix()
            yield f"{below}/{file} is not read: run `sandbox init` in that folder, if all that it builds is there"


def _ignore_files(folder: Path, apps: Iterable[App]) -> dict[str | None, Path]:
    """Return the files that say what builds of the whole folder leave out, by Dockerfiles."""
    whole = dict.fromkeys(one.build.get("dockerfile") for one in apps if one.context == ".")
    return {dockerfile: engine_images.ignore_file(folder, dockerfile) for dockerfile in whole}


def _included(folder: Path, apps: Iterable[App], files: Iterable[str]) -> Iterator[str]:
    """Yield a note if builds of the folder take in some of the files, although they say what is left out."""
    there = {one: path for one, path in _ignore_files(folder, apps).items() if is_file(path)}
    taking = [engine_images.excluded(folder, dockerfile) for dockerfile in there]
    if taken := [file.partition("/")[0] for file in files if not all(is_excluded(file) for is_excluded in taking)]:
        names = ", ".join(dict.fromkeys(path.name for path in there.values()))
        yield f"a change of {', '.join(taken)} builds an image again, unless {names} has these"


def _has_files(folder: Path) -> bool:
    """Tell whether the folder has files that `up` would take for manifests."""
    return is_dir(folder) and any(map(is_file, manifests.files(folder)))


def _distinct(apps: Iterable[App]) -> Iterator[App]:
    """Yield the apps, numbered where two would have one name."""
    seen: set[str] = set()
    for app in apps:
        name = numbered(app.name, seen)
        seen.add(name)
        yield replace(app, name=name)


def _built(folder: Path, images: Collection[str], notes: list[str]) -> Iterator[App]:
    """Yield the programs of the folder's Dockerfiles; of those named for a program, if an image is called like it."""
    places = (folder, *folders(folder))
    usual = [file for place in places for file in [place / one for one in DOCKERFILES if is_file(place / one)][:1]]
    found = [(label("app" if file.parent == folder else file.parent.name), file) for file in usual]
    names = {name for name, _ in found}
    named = [(label(said[1] or said[2]), one) for place in places for one in listed(place) if (said := _named(one))]
    found += [pair for pair in named if pair[0] not in names and any(is_called(image, pair[0]) for image in images)]
    if named and not found:
        files = ", ".join(file.relative_to(folder).as_posix() for _, file in named)
        notes.append(f"{files}: no image of a manifest is called so; images.yaml can name it with `dockerfile:`")
    for name, file in found:
        path, place = file.relative_to(folder).as_posix(), file.parent
        if place != folder and (above := _only_above(folder, file)):
            below = [one for one in _copied(folder, file) if not exists(folder / one) and exists(place / one)]
            notes.append(
                f"{path} copies {below[0]} from its folder and {above[0]} from this one: no build has both; change one"
                if below
                else f"{path} is built from this folder, which has what it copies"
            )
            place = folder
        inside = file.relative_to(place).as_posix()
        build = {} if inside == DOCKERFILES[0] else {"dockerfile": inside}
        yield App(name, context=place.relative_to(folder).as_posix(), build=build)


def _named(file: Path) -> re.Match[str] | None:
    """Return the match of the name of a Dockerfile that is named for something: Dockerfile.web or web.Dockerfile."""
    said = re.fullmatch(r"(?:docker|container)file[.-](.+)|(.+)\.(?:docker|container)file", file.name, re.IGNORECASE)
    return said if said and file.suffix != ".dockerignore" and is_file(file) else None


def _only_above(folder: Path, file: Path) -> list[str]:
    """Return what the Dockerfile in a subfolder copies that is not there, but in the project's folder."""
    return [one for one in _copied(folder, file) if exists(folder / one) and not exists(file.parent / one)]


def _copied(folder: Path, file: Path) -> list[str]:
    return list(dockerfile.sources(dockerfile.read(folder, file)))


def _read(folder: Path, app: App, named: Collection[str]) -> App:
    """Return the app with its Dockerfile's port if it has no other, and those images it names that are `named`.

    Its own command may run another program of the image, such as a worker, which never listens there.
    """
    if app.context is None:
        return app
    names = build_order.names(_text(folder, app), app.build.get("args", {})) if named else ()
    app = replace(app, made_from=tuple(one for one in names if untagged(one) in named))
    exposing = app.base or app
    text, stage = _text(folder, exposing), exposing.build.get("target")
    app = replace(app, image_user=dockerfile.user(text, stage))
    port = None if app.port else dockerfile.port(text, stage)
    if port and (app.command or app.args):
        return replace(app, more_ports=tuple(dict.fromkeys((*app.more_ports, (port, "tcp")))))
    return replace(app, port=app.port or port)


def _text(folder: Path, app: App) -> str:
    return app.recipe or dockerfile.read(folder, Path(app.context or ".", app.build.get("dockerfile", "Dockerfile")))


def _objects(
    folder: Path, items: Iterable[Item], store: Store, wrong: list[BadFile] | None = None
) -> tuple[Mapping[str, Any], ...]:
    """Return the objects that are applied, as far as they can be read or rendered here; to `wrong` add what cannot."""
    found: list[Mapping[str, Any]] = []
    for item in items:
        try:
            if isinstance(item, str):
                found += user_manifests.load([folder / item], store)
            else:
                values = tuple(folder / one for one in item.get("values", ()))
                if "version" not in item:  # `up` pulls those from elsewhere
                    chart = {**item, "chart": folder / item["chart"], "values": values}
                    found += Helm.find(store).render(Chart.model_validate(chart), whole=True)
        except BadFile as error:
            if wrong is not None and chart_dependencies.MISSING not in error.details:  # which has a note of its own
                wrong.append(error)
        except SandboxError:  # `up` reports what is wrong
            continue
    return tuple(found)


def _reason(error: BadFile) -> str:
    """Return what a program that renders says of a mistake; it warns before, and advises after it."""
    lines = [line.strip() for line in error.details.splitlines() if not line.startswith("#")]
    said = next((line for line in lines if line.startswith("Error")), next(iter(lines), ""))
    return f": {said}" if said else ""


def _every(read: Callable[[Mapping[str, Any]], Iterator[str]], objects: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what `read` finds in all objects, once each; malformed ones are skipped, for the cluster reports them."""
    found: dict[str, None] = {}
    for each in objects:
        with suppress(AttributeError, KeyError, TypeError):
            found |= dict.fromkeys(read(each))
    return tuple(found)


def _hosts(each: Mapping[str, Any]) -> Iterator[str]:
    if each["kind"] == "Ingress":
        yield from ingress_hosts(each)


def _images(each: Mapping[str, Any]) -> Iterator[str]:
    yield from (image.reference for image in pod_images(each))
