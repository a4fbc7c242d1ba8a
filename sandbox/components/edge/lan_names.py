"""The names by which others on this machine's networks reach a sandbox, since its domain is each one's own machine.

They are those of nip.io, a public name service that answers ANYTHING.IP.nip.io with IP, to all who can ask it.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from sandbox.system import host_network

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
