"""Who besides this machine reaches a sandbox, and by which names, since its own domain means each machine itself.

The names are those of nip.io, a public name service that resolves ANYTHING.IP.nip.io to IP.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from sandbox.components.certificates.keystore import RENEW, Keystore
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.names import is_below, port_suffix
from sandbox.system import host_network

SERVICE = "nip.io"
# Where a sandbox listens that is open to all networks of its machine.
EVERYWHERE = "0.0.0.0"  # noqa: S104


@dataclass(frozen=True)
class Access:
    """The domains of a sandbox for clients in this machine's networks; none unless it is open to them.

    `domains` are those that the CA may issue for; `unvouched` are those of addresses that are newer than its root.
    """

    domains: tuple[str, ...] = ()
    unvouched: tuple[str, ...] = ()


def access(spec: Spec, keystore: Keystore) -> Access:
    wanted = () if spec.runs_process else domains(spec.name, spec.edge.listen)
    if not wanted:
        return Access()
    vouched = keystore.permitted(wanted)
    return Access(vouched, tuple(domain for domain in wanted if domain not in vouched))


def warning(access: Access, spec: ResolvedSpec) -> str:
    """Return who else than this machine reaches the sandbox; empty if it is not open."""
    if not is_open(spec.edge.listen):
        return ""
    text = f"open to this machine's networks: {spec.edge.listen}, port {', '.join(map(str, spec.edge.ports))}"
    if not access.unvouched:
        return text
    return f"{text}; no certificate for {', '.join(access.unvouched)}, {RENEW} makes a root for it"


def is_open(listen: str) -> bool:
    return not ip_address(listen).is_loopback


def domains(name: str, listen: str) -> tuple[str, ...]:
    """Return the domains of the sandbox `name` for other machines, the likeliest first.

    None for an IPv6 address, which has no name.
    """
    if not is_open(listen):
        return ()
    wanted = host_network.lan_addresses() if ip_address(listen).is_unspecified else (listen,)
    return tuple(f"{name}.{address}.{SERVICE}" for address in wanted if ":" not in address)


def url(host: str, port: int) -> str:
    return f"https://{host}{port_suffix(port)}/"


def renamed(hosts: Iterable[str], domain: str, aliases: Sequence[str]) -> list[str]:
    """Return the names that the hosts of the domain have in each of the `aliases`."""
    return [host.removesuffix(domain) + alias for alias in aliases for host in hosts if is_below(host, domain)]


def urls(hosts: Sequence[str], *, domain: str, aliases: Sequence[str], port: int) -> tuple[str, ...]:
    return tuple(url(name, port) for name in renamed(hosts, domain, aliases))
