"""`sandbox init`: writes a sandbox.yaml for a folder, from what it finds there."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sandbox.init.detected import Found

LOCAL = "127.0.0.1"
MOST_NAMED = 12  # settings of a program in a note


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("-n", "--name", help="The sandbox's name.  [default: the folder's]")
@click.option(
    "--profile",
    "profiles",
    metavar="NAME",
    multiple=True,
    help="Also use this profile of the compose or skaffold file (* for all compose services).",
)
def init(folder: Path, *, name: str | None, profiles: tuple[str, ...]) -> None:
    """Write a commented sandbox.yaml for the files in this folder; never overwrite a file.

    \b
    sandbox init              for Dockerfiles, compose files, manifests, charts
    sandbox init --name shop
    """
    from sandbox.app import context
    from sandbox.app.ports import has_usual_https
    from sandbox.bundle.store import Store
    from sandbox.config.schema import Spec
    from sandbox.errors import UsageError
    from sandbox.init import project_files
    from sandbox.init.detect import look
    from sandbox.init.detected import SPEC
    from sandbox.sanitize import fit
    from sandbox.system import host_network

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", fix=f"mkdir {shlex.quote(str(folder))}, or name another")
    if os.path.lexists(folder / SPEC):
        raise UsageError(
            f"{folder / SPEC} exists already",
            fix="check it with `sandbox config validate`, or move it away",
        )
    found = look(folder, Store(context.home().bundle), profiles)
    name = Spec.default(name).name if name else project_files.name_of(project_files.called(folder.absolute()), found)
    wanted = project_files.registry_port(found)
    registry = wanted if host_network.is_free(LOCAL, wanted) else host_network.next_free(LOCAL, wanted)
    https = None if has_usual_https(context.home()) else ("auto", "auto")
    written = project_files.files(name, found, registry=registry, https=https)
    _write(folder, written)
    for note in (*(f"note  {note}" for note in found.notes), *_advice(name, found)):
        click.echo(fit(note).replace("\n", " "), err=True)  # a name in a project could begin a line of its own
    if registry != wanted:  # in files that others get, too
        click.echo(f"note  port {wanted} is taken on this machine: the registry gets {registry}", err=True)
    if https:
        click.echo("note  port 443 or 8443 is taken on this machine: `up` takes free ones", err=True)
    click.echo("next  sandbox up --plan   shows what `sandbox up` creates")


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the files that do not exist yet, and print which those are. Raises UsageError, before the first."""
    from sandbox.errors import UsageError
    from sandbox.init.detected import SPEC
    from sandbox.system import files
    from sandbox.system.files import is_inside

    for place in dict.fromkeys((folder / path).parent for path in texts):
        if not is_inside(folder, place) or (os.path.lexists(place) and not place.is_dir()):
            raise UsageError(f"{place} is in the way: it has to be a folder of the project", fix="move it away")
    kept = [path for path in texts if os.path.lexists(folder / path)]
    # The spec last: until it is there, all this can be repeated.
    for path, text in sorted(texts.items(), key=lambda item: item[0] == SPEC):
        if path not in kept:
            (folder / path).parent.mkdir(exist_ok=True)
            files.write_atomic(folder / path, text.encode(), mode=0o644)
            click.echo(f"wrote {folder / path}")
    for path in kept:
        click.echo(f"kept  {folder / path}   (existed)")


def _said(settings: Sequence[str]) -> str:
    """Return a few of the settings, variables last; a project may have hundreds of these."""
    first = sorted(settings, key=lambda one: one.startswith("environment."))[:MOST_NAMED]
    more = len(settings) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def _advice(name: str, found: Found) -> Iterator[str]:
    """Yield what the user has to do before `up` can run all of the project."""
    from sandbox.init import project_files

    domain = project_files.domain_of(found.hosts)
    if domain and not domain.endswith(".localhost"):
        yield f"note  your Ingresses have hosts of {domain}: browsers find them here by /etc/hosts only,"
        yield f"      where `sandbox hosts install -n {name}` puts them after `up`"
    if not found.apps and not found.manifests:
        yield "note  nothing here tells what to run: name manifests or charts below `apply` in sandbox.yaml, or remove"
        yield "      it and run this again where there is a Dockerfile or a compose file"
    yield from _of_manifests(name, found) if found.manifests else _of_apps(found)


def _of_apps(found: Found) -> Iterator[str]:
    """Yield what the objects lack that are written for the programs."""
    from sandbox.init import project_files

    unknown: dict[str, list[str]] = {}
    for app, fix in project_files.without_port(found.apps):
        unknown.setdefault(fix, []).append(app)
    for fix, apps in unknown.items():
        yield f"note  the port of {', '.join(apps)} is unknown: for a host that leads there, {fix}"
    lacking: dict[tuple[str, ...], list[str]] = {}
    for one in found.apps:
        # What it depends on comes up at its own time, and pods are started again until then.
        if lost := tuple(setting for setting in one.left_out if setting != "depends_on"):
            lacking.setdefault(lost, []).append(one.name)
    for lost, apps in lacking.items():
        said, file = (f"{apps[0]} is", f"{apps[0]}.yaml") if len(apps) == 1 else (f"{', '.join(apps)} are", "")
        yield f"note  {said} without {_said(lost)}: see {found.objects}/{file}"


def _of_manifests(name: str, found: Found) -> Iterator[str]:
    """Yield which programs the project's own manifests do not run, or not under their names."""
    from sandbox.init import project_files

    own = project_files.own_program(name, found)
    if own:
        yield f"note  no manifest runs {own.name}: {project_files.OWN} does; add the environment that it needs there"
    for program, keys in project_files.only_built(name, found).items():
        yield f"note  {' and '.join(keys)} of {program} in the compose file are left out, for your manifests run it"
    if image := project_files.guessed(found, name):
        yield f"note  {image} in your manifests is taken for what is built here: `for:` in images.yaml says so"
    idle = project_files.unnamed(name, found)
    for program, image in idle.items():
        yield f"note  no manifest runs {program}: add a Deployment with `image: {image}`"
    if idle:
        needed = "" if project_files.pushes(name, found) else "; sandbox.yaml needs `push: images.yaml`"
        yield "      (or, where a manifest calls it NAME, `for: [NAME]` to its line in images.yaml)"
        yield f"      and remove the # before that line{needed}"
