"""The order in which stopped nodes start, so that each gets its previous address.

The engine gives a starting container the lowest free address. In another order nodes would exchange addresses, and
Service `kubernetes` would lead to a worker until the lease of the previous API server ends after 15 seconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import PurePosixPath

from sandbox.engine import Engine
from sandbox.engine.container_host import joined

# What kubeadm and, after a change of the address, the node's entrypoint write for the kubelet.
FLAGS = PurePosixPath("/var/lib/kubelet/kubeadm-flags.env")
ADDRESS = re.compile(rb"--node-ip=([\d.]+)")
GATEWAY = 1  # the first address of a network, which is the engine's own


def by_address(engine: Engine, network: str, stopped: Sequence[str]) -> list[str]:
    """Return the names of stopped containers in the order of their previous addresses.

    The load balancer of control planes has no kubelet that recorded its address: it had the one that is left over.
    """
    if len(stopped) < 2:  # which takes no time to order, as reading a file does
        return list(stopped)
    order: list[tuple[IPv4Address, str]] = []
    others = []
    for name in stopped:
        flag = ADDRESS.search(engine.read_file(name, FLAGS) or b"")
        try:
            order.append((IPv4Address(flag[1].decode() if flag else ""), name))
        except ValueError:
            others.append(name)
    order.sort()
    lowest = IPv4Network(joined(engine, network).subnet)[GATEWAY + 1]
    for name in others:
        place = next((at for at, (address, _) in enumerate(order) if address != lowest + at), len(order))
        order.insert(place, (lowest + place, name))
    return [name for _, name in order]
