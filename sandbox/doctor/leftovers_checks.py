"""Checks for leftovers: containers without files, files without containers, data without a sandbox."""

from __future__ import annotations

from sandbox.components.edge import routes
from sandbox.doctor.check import Check, Finding, ok, warn, with_engine
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.engine import Engine
from sandbox.engine import labelled as own
from sandbox.names import LABEL, Home
from sandbox.quantities import count


def containers(context: DoctorContext) -> Finding:
    known = _known(context.home)
    engine = with_engine(context).engine
    labelled = own.containers(engine, context.home)
    orphans = {one.name: one.labels[LABEL] for one in labelled if one.labels[LABEL] and one.labels[LABEL] not in known}
    if orphans:
        return warn(f"without a known sandbox: {', '.join(sorted(orphans))}", _down(set(orphans.values())))
    edge = own.edge(engine, context.home)
    if any(one.name == edge for one in labelled) and not routes.load(context.home.edge):
        of_all = sorted(one.name for one in labelled if not one.labels[LABEL])
        return warn(f"{edge} runs and has no route", f"docker rm -f {' '.join(of_all)}")
    others = len(engine.containers(LABEL)) - len(labelled)
    also = f"; {others} belong to other users, and stay" if others else ""
    return ok(("every container belongs to a sandbox" if labelled else "there are no containers") + also)


def networks(context: DoctorContext) -> Finding:
    unused = _unused_networks(context)
    if unused:
        return warn(f"no container is on {', '.join(unused)}", f"docker network rm {' '.join(unused)}")
    return ok("every network is in use")


def remove_networks(context: DoctorContext) -> None:
    """Remove unused networks; the engine refuses one that a container has joined meanwhile."""
    for name in _unused_networks(context):
        with_engine(context).engine.remove_network(name)


def _unused_networks(context: DoctorContext) -> list[str]:
    engine, known = with_engine(context).engine, _known(context.home)
    found = [network for name in engine.labelled_networks(LABEL) if (network := engine.network(name))]
    return [
        one.name
        for one in found
        if not one.members
        and own.is_ours(one, context.home)
        and one.labels[LABEL] not in known
        and not engine.container(one.name)
    ]


def volumes(context: DoctorContext) -> Finding:
    engine = with_engine(context).engine
    labelled = engine.labelled_volumes(LABEL).items()
    found = {name: labels for name, labels in labelled if own.is_ours(labels, context.home)}
    orphans = {
        name: labels[LABEL] for name, labels in found.items() if not _is_kept(labels[LABEL], context.home, engine)
    }
    if orphans:
        fix = "\n".join(f"sandbox down {owner} --purge" for owner in sorted(set(orphans.values())))
        return warn(f"data without a known sandbox: {', '.join(sorted(orphans))}", fix)
    return ok(f"{count(len(found), 'volume')}, each of a sandbox that exists or was taken down without --purge")


def _is_kept(name: str, home: Home, engine: Engine) -> bool:
    names = home.sandbox(name)
    return names.keys.exists() or engine.container(names.registry) is not None


def _known(home: Home) -> frozenset[str]:
    with_files = {one.name for one in home.known()}
    return frozenset(with_files | {route.name for route in routes.load(home.edge)})


def _down(names: set[str]) -> str:
    return "\n".join(f"sandbox down {name}" for name in sorted(names))


CHECKS = (
    Check("leftovers.containers", "every container belongs to a sandbox", "sandbox down NAME", containers),
    Check("leftovers.networks", "every network is in use", "docker network rm NETWORK", networks, remove_networks),
    Check("leftovers.volumes", "every volume belongs to a sandbox", "sandbox down NAME --purge", volumes),
)
