"""Where networks get in each other's way: a range used twice, a name that does not lead to this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path

from sandbox.components.cluster.kind.command import PODS, SERVICES
from sandbox.doctor.check import Check, with_engine
from sandbox.doctor.doctor_context import Scene
from sandbox.doctor.row import Finding, error, ok, skipped, warn
from sandbox.engine import labelled
from sandbox.system.resolvers import upstream

ROUTES = Path("/proc/net/route")
INSIDE = {"pods": IPv4Network(PODS), "Services": IPv4Network(SERVICES)}
UP = 1


def subnet(scene: Scene) -> Finding:
    """Whether another interface, a VPN's say, claims addresses of the sandbox's network."""
    engine = with_engine(scene).engine
    network = engine.network(labelled.located(engine, scene.names).network)
    if network is None or not network.subnet:
        return skipped(f"the network {scene.names.network} is not made yet")
    mine = IPv4Network(network.subnet)
    clashes = [f"{theirs} on {device}" for theirs, device in _routes() if theirs.overlaps(mine) and theirs != mine]
    if clashes:
        return error(f"{network.name} is {mine}; this machine routes {', '.join(clashes)}")
    return ok(f"{network.name} is {mine}, which no other route of this machine touches")


def cluster_ranges(scene: Scene) -> Finding:
    """Whether pods could mistake a nameserver for one of themselves."""
    chosen = scene.spec.network.nameservers
    servers = upstream().servers if chosen == "auto" else chosen
    ranges = dict(INSIDE)
    hidden = [
        f"{server} is inside the range of {name}, {each}"
        for server in servers
        for name, each in ranges.items()
        if ip_address(server) in each
    ]
    clashes = [
        f"{theirs} on {device} is inside the range of {name}"
        for theirs, device in _routes()
        for name, each in ranges.items()
        if theirs.subnet_of(each)
    ]
    if hidden or clashes:
        return warn("; ".join(hidden + clashes) + ": pods cannot reach it")
    return ok(f"pods ask {', '.join(servers)}; nothing outside is in their ranges")


def dns(scene: Scene) -> Finding:
    """Whether this machine's resolver leads the sandbox's hosts here."""
    host = f"doctor.{scene.spec.domain}"
    fix = f"sudo sh -c 'echo 127.0.0.1 {scene.spec.domain} >> /etc/hosts', one line a host"
    try:
        found = sorted({str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
    except socket.gaierror as reason:
        if host.endswith(".localhost"):
            return warn(f"{host}: {reason.strerror}; browsers and curl know .localhost by themselves", "")
        return error(f"{host}: {reason.strerror}", fix)
    foreign = [address for address in found if not is_here(address)]
    evidence = f"*.{scene.spec.domain} is {', '.join(found)}"
    return error(f"{evidence}, which is not this machine", fix) if foreign else ok(evidence)


def is_here(address: str) -> bool:
    """Whether `address` is one of this machine's, loopback or not."""
    if ip_address(address.partition("%")[0]).is_loopback:
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _routes() -> Iterator[tuple[IPv4Network, str]]:
    """Every IPv4 route but the default one, with its device (Linux: proc_net_route in the kernel's sources)."""
    try:
        lines = ROUTES.read_text(encoding="utf-8").splitlines()[1:]
    except OSError:
        return
    for fields in map(str.split, lines):
        destination, mask = (IPv4Address(int.from_bytes(bytes.fromhex(fields[at]), "little")) for at in (1, 7))
        if int(fields[3], 16) & UP and int(mask):
            yield IPv4Network(f"{destination}/{mask}", strict=False), fields[0]


CHECKS = (
    Check(
        "network.subnet",
        "no other route of this machine touches the sandbox's network",
        "sandbox down every sandbox, then up with the VPN on: the engine picks a range that is free then; or set "
        '"default-address-pools" in /etc/docker/daemon.json',
        subnet,
    ),
    Check(
        "network.ranges",
        "nothing outside has addresses of the pods and Services",
        "name other nameservers in sandbox.yaml: network: {nameservers: [1.1.1.1]}",
        cluster_ranges,
    ),
    Check(
        "network.dns",
        "the sandbox's hosts lead to this machine",
        "sudo apt-get install libnss-myhostname (or systemd-resolved), which answer every *.localhost",
        dns,
    ),
)
