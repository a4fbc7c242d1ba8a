"""The nameservers that this machine really uses, and for which domains, as far as pods can reach them too."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.system import process
from sandbox.system.process import ToolFailed

RESOLV_CONF = Path("/etc/resolv.conf")
# Files of the real nameservers where resolv.conf has a stub on a loopback address: systemd-resolved's, and
# NetworkManager's if it runs a stub itself.
BEHIND_A_STUB = (Path("/run/systemd/resolve/resolv.conf"), Path("/run/NetworkManager/no-stub-resolv.conf"))
WELL_KNOWN = ("1.1.1.1", "8.8.8.8")
TIMEOUT = 2.0


@dataclass(frozen=True)
class Upstream:
    """The nameservers for all names, in the order in which they are asked, and those for some domains only."""

    servers: tuple[str, ...]
    domains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def upstream() -> Upstream:
    """Return the machine's nameservers, or well-known ones when it has none that a pod can reach.

    Only systemd-resolved tells of split DNS; others that have it (dnsmasq) do not tell it in a file.
    """
    if servers := _read(RESOLV_CONF):
        return Upstream(servers)
    return split(resolved()) or Upstream(next(filter(None, map(_read, BEHIND_A_STUB)), WELL_KNOWN))


def resolved() -> Mapping[str, str]:
    """Return the output of `resolvectl` for `dns`, `domain` and `default-route`; nothing without systemd-resolved."""
    program = process.which("resolvectl")
    if program is None:
        return {}
    try:
        words = ("dns", "domain", "default-route")
        return {word: process.run([program, "--no-pager", word], timeout=TIMEOUT) for word in words}
    except ToolFailed:
        return {}


def split(output: Mapping[str, str]) -> Upstream | None:
    """Return the routing of systemd-resolved.service(8), "Protocols and Routing", from the output of `resolvectl`.

    A link's servers answer for its domains, `~` or not, and for all names if it is a default route; a link with the
    domain `~.` does so alone.
    """
    servers, domains, defaults = (_links(output.get(word, "")) for word in ("dns", "domain", "default-route"))
    general: list[str] = []
    preferred: list[str] = []
    special: dict[str, tuple[str, ...]] = {}
    for link, named in servers.items():
        usable = tuple(name for name in named if _reachable_from_pods(name))
        if usable and (link == "Global" or defaults.get(link) == ["yes"]):
            general += usable
        for domain in domains.get(link, ()) if usable else ():
            zone = domain.removeprefix("~").strip(".").lower()
            if not zone:
                preferred += usable
            else:
                special[zone] = (*special.get(zone, ()), *usable)
    chosen = tuple(dict.fromkeys(preferred or general))[:3]
    if not chosen:
        return None
    # A server that is asked anyway needs no rule.
    return Upstream(chosen, {zone: asked[:3] for zone, asked in special.items() if asked[:3] != chosen})


def resolv_conf(servers: Iterable[str], search: Iterable[str] = ()) -> str:
    lines = [f"nameserver {server}" for server in servers]
    domains = " ".join(search)
    return "\n".join([*lines, *([f"search {domains}"] if domains else []), ""])


def _links(text: str) -> dict[str, list[str]]:
    """Return the words of `Link 3 (tun0): a b` or `Global: a b`, line by line, by what is before the colon."""
    links: dict[str, list[str]] = {}
    for line in text.splitlines():
        link, colon, words = line.strip().partition(":" if line.startswith("Global") else "):")
        if colon:
            links[link] = [word.partition("#")[0] for word in words.split()]
    return links


def _read(file: Path) -> tuple[str, ...]:
    try:
        words = [line.split() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ()
    named = (each[1] for each in words if len(each) > 1 and each[0] == "nameserver")
    return tuple(name for name in named if _reachable_from_pods(name))[:3]


def _reachable_from_pods(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False  # with a zone: meaningless in a container
    # Pods have IPv4 only, and a loopback address would be their own.
    return address.version == 4 and not address.is_loopback
