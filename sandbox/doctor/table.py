"""The doctor's table of contents: every check, in the order in which it is shown."""

from __future__ import annotations

from sandbox.doctor import certificates, engine, leftovers, machine, network, own_files, ports, rights, tools, wiring
from sandbox.doctor.check import Check
from sandbox.doctor.scene import Scene

FAST = (*engine.CHECKS, *machine.CHECKS, *network.CHECKS, *ports.CHECKS, *tools.CHECKS)
CHECKS = (*FAST, *own_files.CHECKS, *certificates.CHECKS, *wiring.CHECKS, *leftovers.CHECKS)
# What is looked at besides where the cluster exists already.
EXISTING = rights.CHECKS


def checks_of(scene: Scene) -> tuple[Check[Scene], ...]:
    """The checks that a sandbox needs."""
    return CHECKS if scene.spec.cluster.is_ours else (*CHECKS, *EXISTING)
