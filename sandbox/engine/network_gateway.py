"""Where a container finds the machine that the engine runs on."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from sandbox.engine import Engine, Network
from sandbox.errors import SandboxError
from sandbox.names import LABEL

# Their engines run in a virtual machine, whose own address the gateway is; they tell the host's by a name.
VIRTUAL = ("Docker Desktop", "OrbStack")
VIRTUAL_NAME = "host.docker.internal"
# The last address of a minikube network is for the balancer of several control planes.
RESERVED = 5


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


def free_address(engine: Engine, name: str) -> str:
    """An address of the network that nobody has, from the end of its range, of which the very last are left alone."""
    network = joined(engine, name)
    members = (engine.container(member) for member in network.members)
    taken = {member.addresses.get(name) for member in members if member}
    last = int(IPv4Network(network.subnet).broadcast_address)
    free = (str(IPv4Address(last - back)) for back in range(RESERVED, RESERVED + len(taken) + 1))
    return next(address for address in free if address not in taken)


def spare_address(engine: Engine, name: str) -> str:
    """Where a container of ours joins a network: at its end, or wherever the engine likes on one made by it.

    Only of a range that was chosen by the network's maker does the engine let anybody choose an address.
    """
    return "" if LABEL in joined(engine, name).labels else free_address(engine, name)


def gateway(network: Network) -> str:
    """The engine's own address on the network; where it is not told it is the first (libnetwork's default IPAM)."""
    return network.gateway or str(next(IPv4Network(network.subnet).hosts()))
