"""The nameservers this machine really uses, as far as containers could reach them too."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

# systemd-resolved keeps the real ones here while resolv.conf names its own loopback stub.
FILES = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
WELL_KNOWN = ("1.1.1.1", "8.8.8.8")


def nameservers(files: Iterable[Path] = FILES) -> tuple[str, ...]:
    """Up to three upstream nameservers of the host, or well-known ones when it has none that a pod can reach."""
    for file in files:
        try:
            found = _usable(file.read_text())
        except OSError:
            continue
        if found:
            return found[:3]
    return WELL_KNOWN


def resolv_conf(servers: Iterable[str]) -> str:
    """The text of a resolv.conf (resolv.conf(5)) that names `servers`."""
    return "".join(f"nameserver {server}\n" for server in servers)


def _usable(text: str) -> tuple[str, ...]:
    words = (line.split() for line in text.splitlines())
    named = (each[1] for each in words if len(each) > 1 and each[0] == "nameserver")
    return tuple(name for name in named if _reachable_from_pods(name))


def _reachable_from_pods(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False  # with a zone: meaningless in a container
    # Pods have IPv4 only, and a loopback address would be their own.
    return address.version == 4 and not address.is_loopback
