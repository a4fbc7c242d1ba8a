"""Checks of networks and ports: overlapping ranges, names that do not resolve to this machine, ports in use."""

import socket
from ipaddress import IPv4Network, ip_address

from sandbox.components.edge import container as edge_container
from sandbox.doctor.check import Check, DoctorContext, Finding, error, ok, skipped, warn
from sandbox.engine import Bind, Engine, labelled
from sandbox.names import LABEL, Home
from sandbox.system import host_network


def ranges(context: DoctorContext) -> Finding:
    network = context.engine.network(context.names.network)
    if not network or not network.subnet:
        return skipped(f"there is no network {context.names.network}; sandbox up creates it")
    ours = IPv4Network(network.subnet)
    routes = ((route, device) for route, device in host_network.routes() if route != ours and route.overlaps(ours))
    if clashes := [f"{route} on {device}" for route, device in routes]:
        return error(f"the sandbox's network is {ours}; this machine routes {', '.join(clashes)}")
    return ok(f"no other route overlaps the sandbox's network {ours}")


def dns(context: DoctorContext) -> Finding:
    domain = context.spec.domain
    return resolution(f"doctor.{domain}", f"*.{domain}", f"sandbox hosts install -n {context.names.name}")


def resolution(host: str, shown: str, fix: str, *, localhost_fix: str = "") -> Finding:
    """Check that `host`, which the finding calls `shown`, resolves to this machine."""
    try:
        addresses = sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
    except socket.gaierror as reason:
        if host.endswith(".localhost"):
            unresolved = f"{host}: {reason.strerror}; browsers and curl resolve .localhost by themselves"
            return warn(unresolved, localhost_fix)
        return error(f"{host}: {reason.strerror}", fix)
    evidence = f"{shown} is {', '.join(addresses)}"
    return ok(evidence) if all(map(is_here, addresses)) else error(f"{evidence}, which is not this machine", fix)


def is_here(address: str) -> bool:
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
    binds = [Bind(context.spec.edge.listen, port) for port in context.spec.edge.ports]
    return _ports(context, binds, "--https-port")


def registry(context: DoctorContext) -> Finding:
    if context.spec.registry.external:
        return skipped(f"{context.spec.registry.external} is used instead")
    return _ports(context, [Bind("127.0.0.1", context.spec.registry.port)], "--registry-port", context.names.registry)


def _ports(context: DoctorContext, binds: list[Bind], option: str, *owners: str) -> Finding:
    engine = context.engine
    allowed = (None, labelled.edge(engine, context.home), *owners)
    holders = {bind: holder(bind, engine, context.home) for bind in binds}
    evidence = ", ".join(f"{bind} {name or 'free'}" for bind, name in holders.items())
    taken = next((bind for bind, name in holders.items() if name not in allowed), None)
    if taken is None:
        return ok(evidence)
    free = host_network.next_free(taken.address, taken.port)
    return error(evidence, f"have it stopped, or use another port: sandbox up{context.which} {option} {free}")


def holder(bind: Bind, engine: Engine | None, home: Home) -> str | None:
    if engine and (name := engine.publisher(bind.port)):
        container = engine.container(name)
        others = container and LABEL in container.labels and not labelled.is_ours(container, home)
        return f"{name} {labelled.whose(container)}" if container and others else name
    if engine and bind in edge_container.listens(engine, home):
        return labelled.edge(engine, home)
    if host_network.is_free(bind.address, bind.port):
        return None
    return str(host_network.holder(bind.port) or "a process of another user")


CHECKS = (
    Check(
        "network.ranges",
        "no route of this machine overlaps the sandbox's network",
        "take every sandbox down, then up while the VPN is on: the engine then picks a free range; or set "
        '"default-address-pools" in /etc/docker/daemon.json',
        ranges,
    ),
    Check(
        "network.dns",
        "the sandbox's hosts resolve to this machine",
        "sandbox hosts install, or on Linux: sudo apt-get install libnss-myhostname, which resolves every *.localhost",
        dns,
    ),
    Check("ports.https", "the edge has its ports, or they are free", "sandbox up{which} --https-port PORT", https),
    Check(
        "ports.registry", "the registry has its port, or it is free", "sandbox up{which} --registry-port PORT", registry
    ),
)
