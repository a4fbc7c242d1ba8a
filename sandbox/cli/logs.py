"""`sandbox logs`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli import command_context
from sandbox.cli.doctor import PATIENT, context_of
from sandbox.cli.options import find_spec

if TYPE_CHECKING:
    from sandbox.config.schema import Spec
    from sandbox.doctor.doctor_context import DoctorContext
    from sandbox.engine import Engine
    from sandbox.names import Names
    from sandbox.support_bundle.gather import Part

SECONDS = 120.0


def run(ctx: click.Context, file: Path | None, name: str | None, *, output: Path | None) -> int:
    """Gather logs, states and settings in one archive for a report, without secrets; works on a broken sandbox too."""
    command_context.start_log(verbose=ctx.obj)
    from sandbox.support_bundle import known_secrets, report_archive
    from sandbox.support_bundle.gather import gather
    from sandbox.support_bundle.redaction import Redaction

    spec = find_spec(file, name)
    path = output or Path(f"sandbox-{spec.name}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    report_archive.require_absent(path)
    context = context_of(spec, file=file, name=name, seconds=PATIENT)
    texts = gather(_parts(spec, context), seconds=SECONDS)
    held = known_secrets.in_the_cluster(context.names.kubeconfig, context.spec.namespace)
    redact = Redaction((*known_secrets.on_this_machine(context.home, spec, os.environ), *held))
    report_archive.write(path, {place: redact(text) for place, text in texts.items()})
    click.echo(path)
    click.echo(f"{len(texts)} files, secrets removed; look through it before you give it to others", err=True)
    return 0


def _parts(spec: Spec, context: DoctorContext) -> dict[str, Part]:
    from sandbox.doctor.doctor_context import EngineProbe
    from sandbox.kube.api import Cluster
    from sandbox.support_bundle import cluster_state, machine_state

    parts: dict[str, Part] = {
        "logs": lambda: machine_state.logs(context.home, context.names),
        "configurations": lambda: machine_state.configurations(context),
        "versions": lambda: machine_state.versions(context),
        "doctor": lambda: _doctor(context),
    }
    if isinstance(context.docker, EngineProbe):
        engine = context.docker.engine
        parts |= {
            "status": lambda: _status(spec),
            "containers": lambda: machine_state.containers(engine, context.home),
            "nodes": lambda: _nodes(engine, context.names),
        }
    if context.names.kubeconfig.exists():
        parts |= {
            "objects": lambda: cluster_state.objects(Cluster(context.names.kubeconfig), context.spec.namespace),
            "pods": lambda: cluster_state.pods(Cluster(context.names.kubeconfig), context.spec.namespace),
        }
    return parts


def _doctor(context: DoctorContext) -> Iterator[tuple[str, str]]:
    from sandbox.doctor.check import run
    from sandbox.doctor.table import checks_of

    found = run(checks_of(context), context, seconds=context.seconds)
    yield "doctor.json", json.dumps([row.as_json() for row in found], indent=2)


def _status(spec: Spec) -> Iterator[tuple[str, str]]:
    from sandbox.cli import session
    from sandbox.plan import lifecycle

    found = lifecycle.survey(session.steps(spec)[0])
    rows = [{"step": step.name, "state": status.state.value, "detail": status.detail} for step, status in found]
    yield "status.json", json.dumps(rows, indent=2)


def _nodes(engine: Engine, names: Names) -> Iterator[tuple[str, str]]:
    """What the nodes tell; a cluster of this name may be another user's. Raises NameTaken."""
    from sandbox.engine import labelled
    from sandbox.plan import providers
    from sandbox.support_bundle import cluster_state

    labelled.require(engine, names)
    yield from cluster_state.nodes(providers.nodes(engine, names))
