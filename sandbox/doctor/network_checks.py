"""Checks of networks and ports: overlapping ranges, names that do not resolve to this machine, ports in use."""

from __future__ import annotations

import socket
import sys
from ipaddress import IPv4Network, ip_address

from sandbox.components.cluster.kind.cluster_config import PODS, SERVICES
from sandbox.components.edge import container as edge_container
from sandbox.doctor.check import Check, Finding, error, ok, skipped, warn, with_engine
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.engine import Bind, Engine, labelled
from sandbox.names import LABEL, Home
from sandbox.system import host_network
from sandbox.system.host_network import FORWARDER
from sandbox.system.resolvers import upstream

INSIDE = {"pods": IPv4Network(PODS), "Services": IPv4Network(SERVICES)}


def subnet(context: DoctorContext) -> Finding:
    engine = with_engine(context).engine
    network = engine.network(context.names.network)
    if network is None or not network.subnet:
        return skipped(f"the network {context.names.network} does not exist yet")
    mine = IPv4Network(network.subnet)
    routes = [(theirs, device) for theirs, device in host_network.routes() if theirs.overlaps(mine)]
    clashes = [f"{theirs} on {device}" for theirs, device in routes if theirs != mine]
    if clashes:
        return error(f"{network.name} is {mine}; this machine routes {', '.join(clashes)}")
    return ok(f"{network.name} is {mine}, and no other route of this machine overlaps it")


def cluster_ranges(context: DoctorContext) -> Finding:
    chosen = context.spec.network.nameservers
    servers = upstream().servers if chosen == "auto" else chosen
    hidden = [
        f"{server} is inside the range of {name}, {each}"
        for server in servers
        for name, each in INSIDE.items()
        if ip_address(server) in each
    ]
    clashes = [
        f"{theirs} on {device} is inside the range of {name}"
        for theirs, device in host_network.routes()
        for name, each in INSIDE.items()
        if theirs.subnet_of(each)
    ]
    if hidden or clashes:
        return warn("; ".join(hidden + clashes) + ": pods cannot reach it")
    return ok(f"pods ask {', '.join(servers)}; no outside address is in their ranges")


def dns(context: DoctorContext) -> Finding:
    host = f"doctor.{context.spec.domain}"
    fix = f"sandbox hosts install -n {context.names.name}"
    try:
        found = resolved(host)
    except socket.gaierror as reason:
        if host.endswith(".localhost"):
            return warn(
                f"{host}: {reason.strerror}; browsers and curl resolve .localhost by themselves",
                "" if sys.platform == "linux" else fix,
            )
        return error(f"{host}: {reason.strerror}", fix)
    elsewhere = [address for address in found if not is_here(address)]
    evidence = f"*.{context.spec.domain} is {', '.join(found)}"
    return error(f"{evidence}, which is not this machine", fix) if elsewhere else ok(evidence)


def resolved(host: str) -> list[str]:
    """Return the addresses that this machine finds for a host. Raises socket.gaierror."""
    return sorted({str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})


def is_here(address: str) -> bool:
    """Tell whether `address` belongs to this machine, loopback or not."""
    if ip_address(address.partition("%")[0]).is_loopback:
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def https(context: DoctorContext) -> Finding:
    if not context.spec.takes_https_ports:
        return skipped("the cluster's own ingress is used, which no port of this machine leads to")
    engine = with_engine(context).engine
    binds = [Bind(context.spec.edge.listen, port) for port in context.spec.edge.ports]
    held = {bind: holder(bind, engine, context.home) for bind in binds}
    ours = labelled.edge(engine, context.home)
    evidence = ", ".join(f"{bind} {who or 'free'}" for bind, who in held.items())
    taken = [bind for bind, who in held.items() if who not in (None, ours)]
    if not taken:
        return ok(evidence)
    free = host_network.next_free(taken[0].address, taken[0].port)
    return error(evidence, f"have it stopped, or use another port: sandbox up{context.which} --https-port {free}")


def registry(context: DoctorContext) -> Finding:
    if context.spec.registry.external:
        return skipped(f"{context.spec.registry.external} is used instead")
    bind = Bind("127.0.0.1", context.spec.registry.port)
    who = holder(bind, with_engine(context).engine, context.home)
    evidence = f"{bind} {who or 'free'}"
    if who in (None, context.names.registry, labelled.edge(with_engine(context).engine, context.home)):
        return ok(evidence)
    free = host_network.next_free(bind.address, bind.port)
    return error(evidence, f"have it stopped, or use another port: sandbox up{context.which} --registry-port {free}")


def privileged(context: DoctorContext) -> Finding:
    low = [port for port in context.spec.edge.ports if port < 1024]
    if not low or not with_engine(context).facts.rootless or host_network.may_bind_all(FORWARDER):
        return ok("the engine may open every port")
    first = host_network.first_unprivileged()
    if min(low) >= first:
        return ok(f"a rootless engine may open ports from {first}")
    fix = f"sudo sysctl net.ipv4.ip_unprivileged_port_start={min(low)}, or sandbox up{context.which} --https-port 8443"
    return warn(f"a rootless engine may not open {min(low)}: unprivileged ports start at {first}", fix)


def holder(bind: Bind, engine: Engine | None, home: Home) -> str | None:
    """Return what has a port: the edge, a container that publishes it, or a process; None if it is free."""
    if engine and (name := engine.publisher(bind.port)):
        found = engine.container(name)
        others = found and LABEL in found.labels and not labelled.is_ours(found, home)
        return f"{name} {labelled.whose(found)}" if found and others else name
    if engine and bind in edge_container.listens(engine, home):
        return labelled.edge(engine, home)
    if host_network.is_free(bind.address, bind.port):
        return None
    return str(host_network.holder(bind.port) or "a process of another user")


CHECKS = (
    Check(
        "network.subnet",
        "no other route of this machine overlaps the sandbox's network",
        "take every sandbox down, then up while the VPN is on: the engine then picks a free range; or set "
        '"default-address-pools" in /etc/docker/daemon.json',
        subnet,
    ),
    Check(
        "network.ranges",
        "nameservers and routes are outside the ranges of pods and Services",
        "name other nameservers in sandbox.yaml: network: {nameservers: [1.1.1.1]}",
        cluster_ranges,
    ),
    Check(
        "network.dns",
        "the sandbox's hosts resolve to this machine",
        "sudo apt-get install libnss-myhostname (or systemd-resolved), which resolve every *.localhost",
        dns,
    ),
)
PORTS = (
    Check("ports.https", "the edge has its ports, or they are free", "sandbox up{which} --https-port PORT", https),
    Check(
        "ports.registry", "the registry has its port, or it is free", "sandbox up{which} --registry-port PORT", registry
    ),
    Check(
        "ports.privileged", "the engine may open ports below 1024", "sandbox up{which} --https-port 8443", privileged
    ),
)
