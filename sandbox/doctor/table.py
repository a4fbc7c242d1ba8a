"""The doctor's table of contents: every check, in the order in which it is shown."""

from __future__ import annotations

from sandbox.doctor import (
    certificates_checks,
    engine_checks,
    leftovers_checks,
    machine_checks,
    network_checks,
    own_files_checks,
    ports_checks,
    rights_checks,
    tools_checks,
    wiring_checks,
)
from sandbox.doctor.check import Check
from sandbox.doctor.doctor_context import Scene

FAST = (
    *engine_checks.CHECKS,
    *machine_checks.CHECKS,
    *network_checks.CHECKS,
    *ports_checks.CHECKS,
    *tools_checks.CHECKS,
)
CHECKS = (*FAST, *own_files_checks.CHECKS, *certificates_checks.CHECKS, *wiring_checks.CHECKS, *leftovers_checks.CHECKS)
# What is looked at besides where the cluster exists already.
EXISTING = rights_checks.CHECKS


def checks_of(scene: Scene) -> tuple[Check[Scene], ...]:
    """The checks that a sandbox needs."""
    return CHECKS if scene.spec.cluster.is_ours else (*CHECKS, *EXISTING)
