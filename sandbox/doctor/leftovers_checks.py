"""Checks for leftovers: containers, networks and data of sandboxes that this user's files do not know."""

from __future__ import annotations

from sandbox.components.edge import routes
from sandbox.doctor.check import Check, DoctorContext, Finding, ok, warn
from sandbox.engine import labelled
from sandbox.names import LABEL
from sandbox.quantities import count


def leftovers(context: DoctorContext) -> Finding:
    engine, home = context.engine, context.home
    sandboxes = _sandboxes(context)
    ours = labelled.containers(engine, home)
    orphans = {box.name: box.labels[LABEL] for box in ours if box.labels[LABEL] not in {"", *sandboxes}}
    shared = sorted(box.name for box in ours if not box.labels[LABEL])
    idle = shared if shared and not routes.load(home.edge) else []
    volumes = {}
    for name, labels in engine.labelled_volumes(LABEL).items():
        names = home.sandbox(labels[LABEL])
        if labelled.is_ours(labels, home) and not names.keys.exists() and not engine.container(names.registry):
            volumes[name] = names.name
    networks = _unused_networks(context)
    if leftover := (*orphans, *idle, *volumes, *networks):
        data = set(volumes.values())
        fixes = [f"sandbox down {name} --purge" for name in sorted(data)]
        fixes += [f"sandbox down {name}" for name in sorted(set(orphans.values()) - data)]
        fixes += [f"docker rm -f {' '.join(idle)}"] if idle else []
        fixes += [f"docker network rm {' '.join(networks)}"] if networks else []
        return warn(f"of no sandbox: {', '.join(leftover)}", "\n".join(fixes))
    others = len(engine.containers(LABEL)) - len(ours)
    also = f"; {others} belong to other users, and stay" if others else ""
    return ok(f"{count(len(ours), 'container')}, each of a sandbox{also}")


def remove_networks(context: DoctorContext) -> None:
    for name in _unused_networks(context):
        context.engine.remove_network(name)  # the engine refuses one that a container has joined meanwhile


def _unused_networks(context: DoctorContext) -> list[str]:
    engine, sandboxes = context.engine, _sandboxes(context)
    networks = filter(None, map(engine.network, engine.labelled_networks(LABEL)))
    return [
        network.name
        for network in networks
        if not network.members
        and labelled.is_ours(network, context.home)
        and network.labels[LABEL] not in sandboxes
        and not engine.container(network.name)
    ]


def _sandboxes(context: DoctorContext) -> set[str]:
    home = context.home
    return {names.name for names in home.known()} | {route.name for route in routes.load(home.edge)}


LEFTOVERS = Check(
    "leftovers.objects",
    "every container, network and volume belongs to a sandbox",
    "sandbox down NAME --purge",
    leftovers,
    remove_networks,
)
