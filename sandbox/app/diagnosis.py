"""The doctor's checks of one sandbox on this machine: for `sandbox doctor`, and under an error of `up`."""

import contextlib
import shlex
import time
from datetime import UTC, datetime
from pathlib import Path

from sandbox.app import context
from sandbox.app.edge import ports
from sandbox.app.session import wake_paused
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.doctor.check import LEAST, DoctorContext, Row, Status, probe_engine, repair, run
from sandbox.doctor.table import FAST, checks_of
from sandbox.errors import SandboxError

MARKS = {"ok": "✓", "warn": "!", "error": "✗", "skipped": "·"}
WIDTH = 24
# How long all checks may take, in seconds; those that follow each other wait for each.
BRIEF, PATIENT = 3.0, 15.0


def rows(
    spec: Spec,
    *,
    file: Path | None = None,
    name: str | None = None,
    fix: bool = False,
    seconds: float = BRIEF,
    wake: bool = True,
) -> tuple[Row, ...]:
    """Run all checks of the sandbox, after repairs with `fix`; `file` and `name` are how the user named it.

    Unless it is to `wake`, only the machine of a paused one is checked.
    """
    began = time.monotonic()
    found_at = context_of(spec, file=file, name=name, seconds=seconds, wake=wake)
    # The time that the engine took for its first answer is subtracted, except for a second.
    checks = checks_of(found_at) if wake or not found_at.names.paused.exists() else FAST
    results = run(checks, found_at, seconds=max(seconds + began - time.monotonic(), LEAST))
    return repair(checks, results, found_at) if fix else results


def explain(error: SandboxError, spec: Spec) -> None:
    """Add what is wrong with the machine to an error of `up`, and is not what the error says itself."""
    machine = context_of(spec)
    for row in run(FAST, machine, seconds=machine.seconds):
        if row.status is Status.ERROR and row.id.replace(".", "-") != error.id:
            for line in lines(row):
                error.add_note(line)


def context_of(
    spec: Spec, *, file: Path | None = None, name: str | None = None, seconds: float = BRIEF, wake: bool = True
) -> DoctorContext:
    """Gather what is to be checked: this machine, its engine if one answers, and the sandbox, awake if `wake`."""
    home, docker = context.home(), probe_engine(seconds * 2 / 3)
    if wake:
        with contextlib.suppress(SandboxError):  # the checks tell what is wrong
            wake_paused(home.sandbox(spec.name))
    which = f" -f {shlex.quote(str(file))}" if file else f" -n {name}" if name else ""
    if not isinstance(docker, SandboxError):
        resolved = ports.resolve(spec, home, docker)
    else:  # the usual ports, since only an engine tells which are free
        usual = ResolvedSpec()
        registry = usual.registry.port if spec.registry.port == "auto" else spec.registry.port
        https = tuple(port for port in spec.edge.ports if port != "auto") or usual.edge.ports
        resolved = ResolvedSpec.of(spec, registry=registry, https=https)
    return DoctorContext(resolved, home, dict(context.environ()), docker, datetime.now(UTC), which, seconds)


def lines(row: Row) -> list[str]:
    first = f"{MARKS[row.status.value]} {row.id:<{WIDTH}} {row.evidence}"
    rest = row.fix.splitlines()
    return [first, *(f"  {'fix:' if at == 0 else '':<{WIDTH}} {line}" for at, line in enumerate(rest))]
