"""Addresses and users between containers and the machine: the host's address, free addresses, owners of folders."""

from ipaddress import IPv4Network
from pathlib import Path

from sandbox.engine import Engine, Network
from sandbox.errors import SandboxError
from sandbox.names import LABEL

# This machine's names in containers of virtual machines.
MACHINE = ("host.docker.internal", "host.lima.internal", "host.orb.internal")
CONNECT = "exec 3<>/dev/tcp/$0/$1"  # bash's own
# The last address of a minikube network is for the balancer of several control planes.
RESERVED = 5
# Positions among those, on the sandbox's own network.
REGISTRY = 4
# Where others begin to look for addresses, perhaps while the edge looks for one from the reserved ones on.
MIRRORS = 32


def host_address(engine: Engine, network: str, node: str) -> str:
    """Return the IPv4 address at which containers on `network` reach this machine.

    Where the engine's machine is another, its nameserver tells a container, such as `node`. Raises SandboxError for no
    such network.
    """
    if engine.shares_network() is False and engine.container(node):
        _, output = engine.execute(node, ["getent", "ahostsv4", *MACHINE])
        if output[:1].isdigit():
            return output.split()[0]
    own = joined(engine, network)
    return own.gateway or str(next(IPv4Network(own.subnet).hosts()))  # the first one (libnetwork's default IPAM)


def joined(engine: Engine, name: str) -> Network:
    network = engine.network(name)
    if network is None or not network.subnet:
        raise SandboxError(f"there is no network {name}", fix="sandbox up")
    return network


def connects(engine: Engine, node: str, address: str, port: str) -> bool:
    """Return whether a TCP connection from `node`, which has bash, is accepted within two seconds."""
    return engine.execute(node, ["timeout", "2", "bash", "-c", CONNECT, address, port])[0] == 0


def kept_address(network: Network, place: int) -> str:
    """Return the address at that position before the network's end; empty where the engine may give it to another.

    So nodes get the first addresses, and find them free when they start again: the engine might give theirs to a
    container that asks for any.
    """
    last = IPv4Network(network.subnet).broadcast_address
    return str(last - place) if network.lower and place < RESERVED else ""


def spare_address(engine: Engine, name: str, first: int = RESERVED) -> str:
    """Return an address for joining a network: at its end, or empty (any) on one whose range the engine chose.

    The engine accepts a requested address only where the network's maker chose the range. Of our own networks it is in
    the last quarter, for Services have the third one. The `first` last ones are left alone: two that look at the same
    moment, each from another, do not find the same.
    """
    network = joined(engine, name)
    is_ours = LABEL in network.labels
    if is_ours and not network.lower:
        return ""
    subnet = IPv4Network(network.subnet)
    members = (engine.container(member) for member in network.members)
    taken = {member.addresses.get(name) for member in members if member}
    backwards = (subnet.broadcast_address - back for back in range(first, first + len(taken) + 1))
    address = next(address for address in backwards if str(address) not in taken)
    return "" if is_ours and address not in list(subnet.subnets(2))[-1] else str(address)


def folder_owner(engine: Engine, path: Path) -> str | None:
    """Return the `UID:GID` a container must run as to write into the folder, which is created if needed.

    Root in a container cannot ignore permissions, since its capabilities are dropped. None where the engine runs
    without root: there its root is the user. Raises SandboxError.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise SandboxError(
            f"the folder {path} cannot be used", details=str(error), fix="write another one, or correct its permissions"
        ) from error
    return None if engine.facts().rootless else f"{status.st_uid}:{status.st_gid}"
