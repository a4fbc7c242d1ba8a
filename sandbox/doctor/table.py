"""The doctor's table of contents: every check in the order of its row."""

from __future__ import annotations

from sandbox.doctor import (
    certificates_checks,
    leftovers_checks,
    machine_checks,
    network_checks,
    rights_checks,
    wiring_checks,
)
from sandbox.doctor.check import Check, DoctorContext

FAST = (*machine_checks.CHECKS, *network_checks.CHECKS)
CHECKS = (
    *FAST,
    machine_checks.OWN_FILES,
    *certificates_checks.CHECKS,
    *wiring_checks.CHECKS,
    leftovers_checks.LEFTOVERS,
)
EXISTING = (rights_checks.RIGHTS,)  # where the cluster exists already


def checks_of(context: DoctorContext) -> tuple[Check, ...]:
    return CHECKS if context.spec.cluster.supports.whole_cluster else (*CHECKS, *EXISTING)
