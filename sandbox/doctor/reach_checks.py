"""Checks of what is between this machine and the engine's, with the verdicts that `up` acts by."""

from __future__ import annotations

from sandbox.doctor.check import Check, Finding, error, ok, skipped, warn, with_engine
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.engine import reach
from sandbox.engine.reach import Reach

UNMEASURED = "not measured yet: that takes an image, which `sandbox up` loads"


def found(context: DoctorContext) -> Reach:
    """Return what is between this machine and the engine. Raises NoEngine."""
    return reach.of(with_engine(context).engine, context.home)


def ports(context: DoctorContext) -> Finding:
    known = found(context)
    if known.shares_network:
        return ok("the engine's network is this machine's")
    if not known.measured:
        return skipped(UNMEASURED)
    if not known.published:
        return error("a port that the engine publishes on 127.0.0.1 does not arrive on this machine")
    said = [f"ports arrive at {', '.join(known.published)}" + ("" if known.low_ports else ", those below 1024 do not")]
    said.append("addresses of containers " + ("are reached" if known.containers else "are not"))
    said.append(f"containers find this machine at {known.machine}" if known.machine else "")
    evidence = "the engine's machine is another: " + "; ".join(filter(None, said))
    if not known.machine:
        return warn(f"{evidence}; no address leads containers to this machine, so routes to its servers answer 503")
    return ok(evidence)


def measure(context: DoctorContext) -> None:
    """Measure again: settings of the engine's machine may have changed. Raises SandboxError."""
    reach.again(with_engine(context).engine, context.home)


def folders(context: DoctorContext) -> Finding:
    known, mounts = found(context), context.spec.cluster.mounts
    if not known.measured:
        return skipped(UNMEASURED)
    if known.folders == reach.WRITABLE:
        return ok("containers have the folders of this machine")
    said = f"{context.home.state} is {known.folders} in containers"
    if not mounts:
        return ok(f"{said}; nothing that the spec asks for needs it")
    fix = with_engine(context).engine.how_to_share(mounts[0].host)
    return warn(f"{said}, and the spec mounts {mounts[0].host}", fix)


CHECKS = (
    Check(
        "engine.ports",
        "ports that the engine publishes arrive on this machine",
        "run sandbox where the engine runs, or let its machine forward ports (a container: --network host)",
        ports,
        measure,
    ),
    Check(
        "engine.folders",
        "containers see the folders that the spec mounts",
        "let the engine's machine share the folder",
        folders,
    ),
)
