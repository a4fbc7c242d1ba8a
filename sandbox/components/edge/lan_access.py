"""Who else than this machine reaches a sandbox, and by which names, since its domain is each machine's own.

The names are those of nip.io, a public name service that answers ANYTHING.IP.nip.io with IP, to all who can ask it.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from sandbox.components.certificates.authority_step import RENEW
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.network import socket_handover
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import Engine
from sandbox.fast_dataclass import dataclass
from sandbox.system import host_network


@dataclass(frozen=True)
class Access:
    """Whether a sandbox is open to this machine's networks, and its domains for those who are there.

    The authority may vouch for `domains` and may not for `unvouched`: those addresses are newer than its root.
    """

    open: bool
    domains: tuple[str, ...] = ()
    unvouched: tuple[str, ...] = ()

    def urls(self, spec: ResolvedSpec, hosts: tuple[str, ...]) -> tuple[str, ...]:
        """Return where a phone or a colleague finds `hosts` of the sandbox."""
        return urls(hosts, domain=spec.domain, aliases=self.domains, port=spec.proxy.ports[0])


def access(spec: Spec, keystore: Keystore) -> Access:
    """Return what the spec asks for, on this machine's addresses of now."""
    if not is_open(spec.proxy.listen):
        return Access(open=False)
    wanted = domains(spec.name, spec.proxy.listen) if not spec.runs_process else ()
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


def reachable(spec: ResolvedSpec, engine: Engine) -> str:
    """Warn, in a line, of ports that are meant for this machine alone and are not; return nothing if there are none.

    Before release 28 the engine lets its neighbours reach ports that it publishes on the loopback, who need only a
    route to it (moby/moby 45610). Ports of a rootless engine are sockets of this machine, those handed to the edge are
    too, and the registry's frontend shuts out anyone who is not of this machine.
    """
    if spec.runs_process or is_open(spec.proxy.listen):
        return ""
    facts = engine.facts()
    if facts.is_hardened or not engine.shares_network() or socket_handover.are_handed_over(engine):
        return ""
    return (
        f"Docker Engine {facts.version} lets machines on this one's network segment reach the edge "
        f"({spec.proxy.ports[0]}) on 127.0.0.1, without an account; release 28 and newer do not"
    )


SERVICE = "nip.io"
# What a sandbox listens on that is open to all networks of its machine.
EVERYWHERE = "0.0.0.0"  # noqa: S104


def is_open(listen: str) -> bool:
    """Tell whether others than this machine reach what listens on the address `listen`."""
    return not ip_address(listen).is_loopback


def domains(name: str, listen: str) -> tuple[str, ...]:
    """Return the domains of the sandbox `name` for others, the likeliest first.

    None for an IPv6 address: it has no name.
    """
    if not is_open(listen):
        return ()
    wanted = host_network.lan_addresses() if ip_address(listen).is_unspecified else (listen,)
    return tuple(f"{name}.{address}.{SERVICE}" for address in wanted if ":" not in address)


def url(host: str, port: int) -> str:
    """Return where `host` is found at `port`."""
    return f"https://{host}/" if port == 443 else f"https://{host}:{port}/"


def renamed(host: str, domain: str, alias: str) -> str | None:
    """`host` as it is called in `alias`; None for one that is not in `domain`."""
    if host == domain:
        return alias
    return host.removesuffix(domain) + alias if host.endswith(f".{domain}") else None


def urls(hosts: Sequence[str], *, domain: str, aliases: Sequence[str], port: int) -> tuple[str, ...]:
    """Return where others find those of `hosts` that are in `domain`, alias by alias."""
    names = (renamed(host, domain, alias) for alias in aliases for host in hosts)
    return tuple(url(name, port) for name in names if name)
