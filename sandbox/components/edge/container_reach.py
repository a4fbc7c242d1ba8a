"""Tests whether this machine reaches addresses of containers, as a Linux host of the engine does."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from sandbox.components.cluster import kubeconfig
from sandbox.engine import Engine
from sandbox.names import Names

API_PORT = 6443  # of a node of kind's
API_NAME = "kubernetes.default.svc"  # a name in every API server's certificate, unlike the node's present address
PATIENCE = 1.0  # seconds


def are_reached(engine: Engine, names: Names, network: str) -> bool:
    """Tell whether this machine reaches addresses of the sandbox's `network`.

    It does not where the engine is rootless or in a virtual machine, unless a tool routes them here.
    """
    if engine.shares_network():
        return True
    node = engine.container(names.node)
    address = node.addresses.get(network) if node else None
    return address is not None and _is_node(address, names.kubeconfig)


def _is_node(address: str, path: Path) -> bool:
    authority = kubeconfig.authority(path)
    if not authority:
        return False
    try:
        context = ssl.create_default_context(cadata=authority)
        with (
            socket.create_connection((address, API_PORT), timeout=PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=API_NAME),
        ):
            return True
    except OSError:
        return False
