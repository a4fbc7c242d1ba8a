"""Mends what can be mended without asking: nothing is lost by it, and no other program notices."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.doctor.check import Check, finding
from sandbox.doctor.doctor_context import Scene
from sandbox.doctor.row import Row, Status, row
from sandbox.errors import SandboxError


def mend(checks: Sequence[Check[Scene]], rows: Sequence[Row], scene: Scene) -> tuple[Row, ...]:
    """The rows, those that could be mended looked at once more; what could not be is as it was."""
    return tuple(
        _mended(check, one, scene) if check.mend and one.status in (Status.WARN, Status.ERROR) else one
        for check, one in zip(checks, rows, strict=True)
    )


def _mended(check: Check[Scene], before: Row, scene: Scene) -> Row:
    try:
        if check.mend:
            check.mend(scene)
    except (SandboxError, OSError):  # not permitted; the row's fix says how
        return before
    after = row(check.id, finding(check, scene), fix=check.fix, which=scene.which)
    if after.status is not Status.OK:
        return after
    return Row(after.id, after.status, f"{after.evidence} (mended: {before.evidence})", after.fix)
