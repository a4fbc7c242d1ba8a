"""`sandbox doctor`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli import command_context
from sandbox.cli.options import find_spec
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from sandbox.config.schema import ResolvedSpec, Spec
    from sandbox.doctor.check import Row
    from sandbox.doctor.doctor_context import DoctorContext

MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "error": ("✗", "red"), "skipped": ("·", "white")}
WIDTH = 24
# What a look may take in all, in seconds; what goes from step to step waits for each.
BRIEF, PATIENT = 3.0, 15.0


def machine(ctx: click.Context, file: Path | None, name: str | None, *, output: str, fix: bool, seconds: float) -> int:
    """Look at the engine, the machine and the sandbox's parts; the default. Takes three seconds at most."""
    command_context.start_log(verbose=ctx.obj)
    return _show(rows(find_spec(file, name), file=file, name=name, fix=fix, seconds=seconds), output)


def rows(
    spec: Spec, *, file: Path | None = None, name: str | None = None, fix: bool = False, seconds: float = BRIEF
) -> tuple[Row, ...]:
    """What all checks find of the sandbox, after a `fix` if asked for; `file` and `name` are how the user named it."""
    from sandbox.doctor.check import LEAST, run
    from sandbox.doctor.table import checks_of

    began = time.monotonic()
    context = context_of(spec, file=file, name=name, seconds=seconds)
    # What the engine took for its first answer is no more to be had, but for a second.
    checks = checks_of(context)
    found = run(checks, context, seconds=max(seconds + began - time.monotonic(), LEAST))
    if not fix:
        return found
    from sandbox.doctor.check import repair

    return repair(checks, found, context)


def tls(ctx: click.Context, host: str, file: Path | None, name: str | None, *, output: str) -> int:
    """Follow a request to https://HOST (a name, with :PORT if need be) and stop at the first step that fails."""
    command_context.start_log(verbose=ctx.obj)
    from sandbox.doctor.tls.tls_pipeline import examine

    given = file is not None or name is not None
    context = context_of(find_spec(file, name), file=file, name=name, seconds=PATIENT)
    return _show(examine(context, host, named=given), output)


def network(ctx: click.Context, file: Path | None, name: str | None, *, output: str, to: str | None) -> int:
    """Follow the way out of the cluster from a pod, which is gone afterwards: names, this machine, TCP, TLS."""
    command_context.start_log(verbose=ctx.obj)
    from sandbox.cli.session import require_own_cluster
    from sandbox.doctor.egress_checks import DESTINATION, examine

    spec = find_spec(file, name)
    require_own_cluster(spec, "a way out that could be tried")
    return _show(examine(context_of(spec, file=file, name=name, seconds=PATIENT), to or DESTINATION), output)


@contextmanager
def explaining(spec: Spec) -> Iterator[None]:
    """Note under an error of the block what is amiss with the machine."""
    try:
        yield
    except SandboxError as error:
        for line in _symptoms(spec):
            error.add_note(line)
        raise


def _symptoms(spec: Spec) -> tuple[str, ...]:
    from sandbox.doctor.check import Status, run
    from sandbox.doctor.table import FAST

    context = context_of(spec)
    sick = [row for row in run(FAST, context, seconds=context.seconds) if row.status is Status.ERROR]
    return tuple(line for row in sick for line in _lines(row))


def context_of(
    spec: Spec, *, file: Path | None = None, name: str | None = None, seconds: float = BRIEF
) -> DoctorContext:
    """What there is to look at: this machine, its engine if one answers, and the sandbox of the spec."""
    from sandbox.app import requirements
    from sandbox.doctor.doctor_context import DoctorContext, EngineProbe, probe_engine

    home, docker = command_context.home(), probe_engine(seconds * 2 / 3)
    which = f" -f {file}" if file else f" {name}" if name else ""
    settled = requirements.settle(spec, home, docker.engine) if isinstance(docker, EngineProbe) else _usual(spec)
    return DoctorContext(settled, home, dict(os.environ), docker, datetime.now(UTC), which, seconds)


def _usual(spec: Spec) -> ResolvedSpec:
    """The spec with the usual ports for those that only an engine could tell."""
    from sandbox.config.schema import ResolvedSpec

    usual = ResolvedSpec()
    https = tuple(port for port in spec.proxy.ports if port != "auto") or usual.proxy.ports
    return ResolvedSpec.of(
        spec, registry=usual.registry.port if spec.registry.port == "auto" else spec.registry.port, https=https
    )


def _show(found: Iterable[Row], output: str) -> int:
    from sandbox.doctor.check import has_errors

    shown = []
    for row in found:
        shown.append(row)
        if output == "text":
            for line in _lines(row):
                click.echo(line)
            sys.stdout.flush()
    if output == "json":
        click.echo(json.dumps([row.as_json() for row in shown], indent=2))
    return 1 if has_errors(shown) else 0


def _lines(row: Row) -> list[str]:
    mark, color = MARKS[row.status.value]
    first = f"{click.style(mark, fg=color)} {row.id:<{WIDTH}} {row.evidence}"
    rest = row.fix.splitlines()
    return [first, *(f"  {'fix:' if at == 0 else '':<{WIDTH}} {line}" for at, line in enumerate(rest))]
