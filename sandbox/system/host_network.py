"""This machine's network: free ports and their holders, routes, and its addresses for other machines."""

import contextlib
import errno
import os
import re
import socket
import struct
import sys
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from itertools import chain
from pathlib import Path

from sandbox.system import process

# The program that opens the published ports of a rootless engine (docs.docker.com/engine/security/rootless/tips).
FORWARDER = "rootlesskit"
ALTERNATIVE = 8443  # the usual alternatives to 443
LONGEST_COMMAND = 80
PROC = Path("/proc")
# Networks of engines and of virtual machines on this machine: no other machine is in them.
_INSIDE = re.compile(r"(docker|br-[0-9a-f]{12}$|veth|virbr|vnet|cni|flannel|cali|podman|lxcbr|lxdbr)")
ROUTES = Path("/proc/net/route")
CONNECTIONS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_UP = 1  # RTF_UP of include/uapi/linux/route.h
_ESTABLISHED = "01"  # include/net/tcp_states.h


def authority(host: str, port: int | str) -> str:
    """Return HOST:PORT as URLs and most programs write it, an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True)
class Holder:
    """A process that listens on a port; `command` is its command line, as far as this user may see it."""

    pid: int
    name: str
    command: str = ""

    def __str__(self) -> str:
        shown = f"{self.name} (pid {self.pid})"
        return f"{shown}: {self.command}" if self.command and self.command != self.name else shown


def is_free(address: str, port: int) -> bool:
    """Return whether a listener can be bound there now; a port that only lacks privileges counts as free."""
    refusal = _refusal(address, port)
    if refusal != errno.EACCES:
        return refusal != errno.EADDRINUSE
    return not accepts(address, port, seconds=1)  # the kernel refuses others than root before it looks


def accepts(address: str, port: int, *, seconds: float) -> bool:
    try:
        with socket.create_connection((address, port), timeout=seconds):
            return True
    except OSError:
        return False


def is_supported(address: str) -> bool:
    """Return whether this machine has the family of an address: without IPv6 in the kernel there is no ::1."""
    refusal = _refusal(address, 0)
    return refusal != errno.EAFNOSUPPORT and not (address == "::1" and refusal == errno.EADDRNOTAVAIL)


def first_unprivileged() -> int:
    """Return the lowest port that any user may listen on (Linux: the sysctl net.ipv4.ip_unprivileged_port_start)."""
    try:
        return int((PROC / "sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 1024


def may_bind_all(program: str) -> bool:
    """Return whether a program on the PATH has CAP_NET_BIND_SERVICE (`setcap`), so that it may open any port."""
    path = process.which(program)
    if sys.platform != "linux" or path is None:
        return False
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:  # it has none
        return False


def next_free(address: str, port: int) -> int:
    return next(filter(partial(is_free, address), after(port)))


def after(port: int) -> chain[int]:
    """Return the ports to try after `port`, in their order: unprivileged ones, the lower ones after the highest."""
    first = (ALTERNATIVE if port < 1024 else port) + 1
    return chain(range(first, 65536), range(1024, first))


def holder(port: int) -> Holder | None:
    """Return the process that listens on the TCP port `port`, as far as this user may see it; None otherwise."""
    import psutil

    entries = psutil.net_connections("tcp")
    listening = (each for each in entries if each.status == psutil.CONN_LISTEN and each.laddr.port == port)
    for pid in sorted({each.pid for each in listening if each.pid}):
        with contextlib.suppress(psutil.Error):  # it has ended
            listener = psutil.Process(pid)
            words = process.last_lines(" ".join(listener.cmdline()), 1).strip()
            return Holder(pid, listener.name(), words[:LONGEST_COMMAND])
    return None


def _refusal(address: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            probe.listen(1)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def lan_addresses() -> tuple[str, ...]:
    """Return this machine's IPv4 addresses in shared networks: private ones first, then that of the default route."""
    import psutil

    main = ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        # Reserved for documentation (RFC 5737), hence reached by the default route; nothing is sent there.
        probe.connect(("198.51.100.1", 9))
        main = str(probe.getsockname()[0])
    up = {name for name, state in psutil.net_if_stats().items() if state.isup and not _INSIDE.match(name)}
    interfaces = (address for name, addresses in psutil.net_if_addrs().items() if name in up for address in addresses)
    listed = {address.address for address in interfaces if address.family == socket.AF_INET} | ({main} - {""})
    ordered = sorted(map(IPv4Address, listed), key=lambda each: (not each.is_private, str(each) != main, each))
    return tuple(str(each) for each in ordered if not each.is_loopback and not each.is_link_local)


def routes() -> list[tuple[IPv4Network, str]]:
    """Return the IPv4 networks that this machine has routes to, with their devices (proc(5), /proc/net/route).

    The default route is not among them.
    """

    def number(word: str) -> int:
        return int.from_bytes(struct.pack("=I", int(word, 16)), "big")

    with contextlib.suppress(OSError, ValueError):
        rows = [line.split() for line in ROUTES.read_text(encoding="utf-8").splitlines()[1:]]
        entries = [(number(row[1]), number(row[7]), row[0]) for row in rows if int(row[3], 16) & _UP]
        return [(IPv4Network((network, mask.bit_count())), device) for network, mask, device in entries if mask]
    return []


def connections_to(port: int) -> frozenset[str]:
    """Return the established connections whose remote port is `port`, each by its two ends in hexadecimal.

    From /proc/net/tcp: psutil would read the files of every process, too.
    """
    tables = [path.read_text(encoding="utf-8") for path in CONNECTIONS if path.exists()]
    rows = (line.split() for table in tables for line in table.splitlines())
    ends = ((local, remote) for _, local, remote, state, *_ in rows if state == _ESTABLISHED)
    return frozenset(local + remote for local, remote in ends if remote.endswith(f":{port:04X}"))
