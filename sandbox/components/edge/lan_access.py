"""Who else than this machine may come in, for the plan to arrange and for commands to say."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.components.certificates.authority_step import RENEW
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import lan_names
from sandbox.components.network import socket_handover
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine.connection import Facts


@dataclass(frozen=True)
class Access:
    """Whether a sandbox is open to this machine's networks, and its domains for those who are there.

    The authority may vouch for `domains` and may not for `unvouched`: those addresses are newer than its root.
    """

    open: bool
    domains: tuple[str, ...] = ()
    unvouched: tuple[str, ...] = ()


def access(spec: Spec, keystore: Keystore) -> Access:
    """Return what the spec asks for, on this machine's addresses of now."""
    if not lan_names.is_open(spec.proxy.listen):
        return Access(open=False)
    wanted = lan_names.domains(spec.name, spec.proxy.listen) if not spec.runs_process else ()
    vouched = keystore.permitted(wanted)
    return Access(True, vouched, tuple(domain for domain in wanted if domain not in vouched))


def warning(found: Access, spec: ResolvedSpec) -> str:
    """Return what everybody has to know of a sandbox that is open, in a line."""
    ports = ", ".join(map(str, spec.proxy.ports))
    said = f"open to this machine's networks: {spec.proxy.listen}, port {ports}"
    if not spec.runs_process:
        said += "; the engine publishes it, so a firewall of this machine (ufw, firewalld) may not filter it"
    if not found.unvouched:
        return said
    return f"{said}; no certificate for {', '.join(found.unvouched)}, {RENEW} makes a root for it"


def reachable(spec: ResolvedSpec, facts: Facts) -> str:
    """Warn, in a line, of ports that are meant for this machine alone and are not; return nothing if there are none.

    Before release 28 the engine lets its neighbours reach ports that it publishes on the loopback, who need only a
    route to it (moby/moby 45610). Ports of a rootless engine are sockets of this machine, those handed to the edge are
    too, and the registry's frontend shuts out anyone who is not of this machine.
    """
    if facts.is_hardened or facts.rootless or not facts.is_here or socket_handover.are_handed_over(facts):
        return ""
    if spec.runs_process or lan_names.is_open(spec.proxy.listen):
        return ""
    return (
        f"Docker Engine {facts.version} lets machines on this one's network segment reach the edge "
        f"({spec.proxy.ports[0]}) on 127.0.0.1, without an account; release 28 and newer do not"
    )


def urls(found: Access, spec: ResolvedSpec, hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Return where a phone or a colleague finds `hosts` of the sandbox."""
    return lan_names.urls(hosts, domain=spec.domain, aliases=found.domains, port=spec.proxy.ports[0])
