"""The doctor's table of contents: every check, in the order in which it is shown."""

from __future__ import annotations

from sandbox.doctor import certificates, engine, leftovers, machine, network, ports, tools, wiring

FAST = (*engine.CHECKS, *machine.CHECKS, *network.CHECKS, *ports.CHECKS, *tools.CHECKS)
CHECKS = (*FAST, *certificates.CHECKS, *wiring.CHECKS, *leftovers.CHECKS)
