"""Where a container finds the machine that the engine runs on."""

from __future__ import annotations

from ipaddress import IPv4Network

from sandbox.errors import SandboxError
from sandbox.host.engine import Engine, Network

# Their engines run in a virtual machine, whose own address the gateway is; they tell the host's by a name.
VIRTUAL = ("Docker Desktop", "OrbStack")
VIRTUAL_NAME = "host.docker.internal"


def host_address(engine: Engine, network: str, container: str) -> str:
    """The IPv4 address at which `container` on `network` reaches the host. Raises SandboxError for no such network."""
    if engine.facts().system.startswith(VIRTUAL):
        status, output = engine.execute(container, ["getent", "ahostsv4", VIRTUAL_NAME])
        if status == 0 and output.split():
            return output.split()[0]
    return gateway(joined(engine, network))


def joined(engine: Engine, network: str) -> Network:
    """The network of that name. Raises SandboxError when there is none."""
    found = engine.network(network)
    if found is None or not found.subnet:
        raise SandboxError(f"there is no network {network}", fix="sandbox up")
    return found


def gateway(network: Network) -> str:
    """The engine's own address on the network; where it is not told it is the first (libnetwork's default IPAM)."""
    return network.gateway or str(next(IPv4Network(network.subnet).hosts()))
