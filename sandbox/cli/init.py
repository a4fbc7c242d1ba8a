"""`sandbox init`: writes a sandbox.yaml for a folder, from what it finds there."""

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from sandbox.app import context
from sandbox.bundle.store import Store
from sandbox.config.checkout import of_folder
from sandbox.config.schema import Spec
from sandbox.config.schema.values import as_name
from sandbox.errors import UsageError
from sandbox.init import project_files
from sandbox.init.detect import look
from sandbox.init.detected import OBJECTS, SPEC, Findings
from sandbox.sanitize import fit
from sandbox.system import files

MAX_SETTINGS = 12  # of a program in a note


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("-n", "--name", help="Write this name for the sandbox.  [default: none: it is named after the folder]")
@click.option(
    "--profile",
    "profiles",
    metavar="NAME",
    multiple=True,
    help="Also use this profile of the compose or skaffold file (* for all compose services).",
)
def init(folder: Path, *, name: str | None, profiles: tuple[str, ...]) -> None:
    """Write a sandbox.yaml for the files in this folder; never overwrite a file.

    \b
    sandbox init              for Dockerfiles, compose files, manifests, charts
    sandbox init --name shop
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", fix=f"mkdir {shlex.quote(str(folder))}, or name another")
    if folder.resolve() in (Path("/"), Path.home()):
        raise UsageError(f"{folder.resolve()} is not a project's folder", fix="cd to a project, and run it there")
    if written := context.spec_in(folder):
        raise UsageError(
            f"{written} exists already",
            fix="check it with `sandbox config validate`, or move it away",
        )
    findings = look(folder, Store(context.home().bundle), profiles)
    checkout = of_folder(folder.absolute()).name
    project = project_files.name_of(checkout, findings) if name is None else Spec.default(name).name
    _write(folder, project_files.files(project, findings, is_named=name is not None or not as_name(checkout)))
    for note in (*findings.notes, *_advice(project, findings)):
        # A name in a project could begin a line of its own.
        click.echo(f"note  {fit(note)}".replace("\n", " "), err=True)
    click.echo("next  sandbox up --plan   shows what `sandbox up` creates")


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    for place in dict.fromkeys((folder / path).parent for path in texts):
        if not files.is_inside(folder, place) or (os.path.lexists(place) and not place.is_dir()):
            raise UsageError(f"{place} is in the way: it has to be a folder of the project", fix="move it away")
    kept = [path for path in texts if os.path.lexists(folder / path)]
    # The spec last: until it exists, all this can be repeated.
    for path, text in sorted(texts.items(), key=lambda item: item[0] == SPEC):
        if path not in kept:
            (folder / path).parent.mkdir(exist_ok=True)
            files.write_atomic(folder / path, text.encode(), mode=0o644)
            click.echo(f"wrote {folder / path}")
    for path in kept:
        click.echo(f"kept  {folder / path}   (existed)")


def _advice(name: str, findings: Findings) -> Iterator[str]:
    domain = project_files.domain_of(findings.hosts)
    if domain and not domain.endswith(".localhost"):
        yield (
            f"your Ingresses have hosts of {domain}: browsers find them here by /etc/hosts only, "
            f"where `sandbox hosts install -n {name}` puts them after `up`"
        )
    if not findings.apps and not findings.items:
        yield (
            "found nothing to run: add a Dockerfile, a compose file or manifests, delete sandbox.yaml, "
            "and run `sandbox init` again"
        )
    if findings.items:  # the project has its own manifests
        for title, image in project_files.unnamed(name, findings).items():
            yield (
                f"no manifest runs {title}: add a Deployment with `image: {image}`, or `for: [NAME]` to its line in "
                "images.yaml if a manifest calls it NAME; and remove the # before that line"
            )
        return
    for app_name, fix in project_files.without_port(findings.apps):
        yield f"the port of {app_name} is unknown: for a host that leads to it, {fix}"
    for program in findings.apps:
        # Variables last: a project may have hundreds of these.
        settings = sorted(program.left_out, key=lambda key: key.startswith("environment."))
        if settings:
            more = f" and {len(settings) - MAX_SETTINGS} more" if len(settings) > MAX_SETTINGS else ""
            yield f"{program.name}: not in {OBJECTS}/: {', '.join(settings[:MAX_SETTINGS])}{more}"
