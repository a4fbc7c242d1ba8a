"""Who holds the ports that the sandbox is to listen on."""

from __future__ import annotations

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge.lan_access import access, urls, warning
from sandbox.components.edge.relay import relay_state
from sandbox.doctor.check import Check, with_engine
from sandbox.doctor.doctor_context import Scene
from sandbox.doctor.row import Finding, error, ok, skipped, warn
from sandbox.engine import Bind, Engine, labelled
from sandbox.names import EDGE, PASSTHROUGH, Home
from sandbox.system import host_network

# What opens the ports of a rootless engine (docs.docker.com/engine/security/rootless/tips).
FORWARDER = "rootlesskit"


def https(scene: Scene) -> Finding:
    """Whether the edge has the HTTPS ports, or could have them."""
    engine = with_engine(scene).engine
    binds = [Bind(scene.spec.proxy.listen, port) for port in scene.spec.proxy.ports]
    held = {bind: holder(bind, engine, scene.home) for bind in binds}
    edge = labelled.edge(engine, scene.home) if engine else EDGE
    ours = PASSTHROUGH if scene.spec.runs_process else edge
    evidence = ", ".join(f"{bind.address}:{bind.port} {who or 'free'}" for bind, who in held.items())
    taken = [bind for bind, who in held.items() if who not in (None, ours)]
    if not taken:
        return ok(evidence)
    free = host_network.next_free(taken[0].address, taken[0].port)
    return error(evidence, f"stop it, or use another port: sandbox up{scene.which} --https-port {free}")


def registry(scene: Scene) -> Finding:
    """Whether the sandbox's own registry has its port, or could have it."""
    if scene.spec.registry.external:
        return skipped(f"{scene.spec.registry.external} is used instead")
    bind = Bind("127.0.0.1", scene.spec.registry.port)
    who = holder(bind, with_engine(scene).engine, scene.home)
    evidence = f"{bind.address}:{bind.port} {who or 'free'}"
    ours = scene.names.registry if scene.spec.cluster.is_ours else PASSTHROUGH
    if who in (None, ours):
        return ok(evidence)
    free = host_network.next_free(bind.address, bind.port)
    return error(evidence, f"stop it, or use another port: sandbox up{scene.which} --registry-port {free}")


def privileged(scene: Scene) -> Finding:
    """Whether a rootless engine may open ports below 1024."""
    low = [port for port in scene.spec.proxy.ports if port < 1024]
    if not low or not with_engine(scene).facts.rootless or host_network.may_bind_all(FORWARDER):
        return ok("the engine may open every port")
    first = host_network.first_unprivileged()
    if min(low) >= first:
        return ok(f"a rootless engine may open ports from {first} on")
    fix = f"sudo sysctl net.ipv4.ip_unprivileged_port_start={min(low)}, or sandbox up{scene.which} --https-port 8443"
    return warn(f"a rootless engine may not open {min(low)}: unprivileged ports begin at {first}", fix)


def visitors(scene: Scene) -> Finding:
    """Whether others than this machine may come in."""
    found = access(scene.spec, Keystore(scene.names.keys))
    if not found.open:
        return ok(f"only this machine: {scene.spec.proxy.listen}")
    where = urls(found, scene.spec, (f"*.{scene.spec.domain}",))
    return warn("; ".join((warning(found, scene.spec), *where)))


def holder(bind: Bind, engine: Engine | None, home: Home) -> str | None:
    """Who has a port: the name of a container that publishes it, PASSTHROUGH, or a process; None for a free one."""
    container = engine.publisher(bind.port) if engine else None
    if container:
        return container
    state = relay_state.running(home.passthrough)
    if state and (bind.address, bind.port) in state.listening:
        return PASSTHROUGH
    if host_network.is_free(bind.address, bind.port):
        return None
    return str(host_network.holder(bind.port) or "a process of another user")


CHECKS = (
    Check("ports.https", "the edge has its ports, or they are free", "sandbox up{which} --https-port PORT", https),
    Check(
        "ports.registry", "the registry has its port, or it is free", "sandbox up{which} --registry-port PORT", registry
    ),
    Check(
        "ports.visitors",
        "only this machine may come in",
        "if nobody else is to come in: proxy: {listen: 127.0.0.1} in sandbox.yaml, then sandbox up{which}",
        visitors,
    ),
    Check(
        "ports.privileged", "the engine may open ports below 1024", "sandbox up{which} --https-port 8443", privileged
    ),
)
