"""The doctor's table of contents: every check in the order of its row."""

from sandbox.doctor import machine_checks, network_checks, sandbox_checks
from sandbox.doctor.check import Check, DoctorContext

FAST = (*machine_checks.CHECKS, *network_checks.CHECKS)
CHECKS = (*FAST, machine_checks.OWN_FILES, *sandbox_checks.CHECKS)
EXISTING = (sandbox_checks.RIGHTS,)  # where the cluster exists already


def checks_of(context: DoctorContext) -> tuple[Check, ...]:
    return CHECKS if context.spec.cluster.supports.whole_cluster else (*CHECKS, *EXISTING)
