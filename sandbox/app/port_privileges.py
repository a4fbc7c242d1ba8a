"""Ports below 1024 where neither we nor the engine are root, and the exact words that let them be used."""

from __future__ import annotations

from sandbox.app.port_usage import Wanted
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.names import PASSTHROUGH
from sandbox.system import host_network

# What binds the published ports of a rootless engine (docs.docker.com/engine/security/rootless/tips).
FORWARDER = "rootlesskit"


class PortForbidden(SandboxError):
    """A port that only root may listen on, and nobody here is root."""

    id = "port-forbidden"


def forbidden(wanted: Wanted, engine: Engine) -> PortForbidden | None:
    """The error with its remedies when the port's owner may not listen there; None when it may."""
    bind, lowest = wanted.bind, host_network.first_unprivileged()
    if wanted.owner == PASSTHROUGH:
        if host_network.is_permitted(bind.address, bind.port):
            return None
        who, more = "the proxy is a process of yours", ""
    else:
        if bind.port >= lowest or not engine.is_rootless() or host_network.may_bind_all(FORWARDER):
            return None
        who = "the Docker Engine runs without root"
        more = (
            f"\nor let the engine's {FORWARDER} do it: sudo setcap cap_net_bind_service=ep $(command -v {FORWARDER}) "
            "&& systemctl --user restart docker"
        )
    return PortForbidden(
        f"port {bind.port} may only be used by root",
        details=f"{who}, and ports below {lowest} are root's (sysctl net.ipv4.ip_unprivileged_port_start)",
        fix=f"sandbox up {wanted.option % host_network.ALTERNATIVE}\n"
        f"or let everybody use it: sudo sysctl net.ipv4.ip_unprivileged_port_start={bind.port}   "
        f"(to keep it: echo net.ipv4.ip_unprivileged_port_start={bind.port} | "
        f"sudo tee /etc/sysctl.d/50-sandbox.conf){more}",
    )
