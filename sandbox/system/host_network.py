"""This machine's network: free ports and their holders, its addresses for other machines, owners of local peers."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from itertools import chain
from pathlib import Path
from typing import Any

from sandbox.system import process

# The program that opens the published ports of a rootless engine (docs.docker.com/engine/security/rootless/tips).
FORWARDER = "rootlesskit"
ALTERNATIVE = 8443  # the usual alternatives to 443
LONGEST_COMMAND = 80
PROC = Path("/proc")
# Networks of engines and of virtual machines on this machine: no other machine is in them.
_INSIDE = re.compile(r"(docker|br-[0-9a-f]{12}$|veth|virbr|vnet|cni|flannel|cali|podman|lxcbr|lxdbr)")
# Reserved for documentation (RFC 5737), hence reached by the default route; nothing is sent there.
_ELSEWHERE = ("198.51.100.1", 9)
SOCKET_TABLES = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}
ROUTES = Path("/proc/net/route")
_UP = 1  # RTF_UP of include/uapi/linux/route.h
ESTABLISHED = "01"


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
    """Tell whether a listener can be bound there now; a port that only lacks privileges counts as free."""
    refusal = _refusal(address, port)
    if refusal != errno.EACCES:
        return refusal != errno.EADDRINUSE
    return not _has_socket(address, port) and not accepts(address, port, seconds=1)


def accepts(address: str, port: int, *, seconds: float) -> bool:
    """Tell whether something there accepts a connection within `seconds`."""
    try:
        with socket.create_connection((address, port), timeout=seconds):
            return True
    except OSError:
        return False


def is_permitted(address: str, port: int) -> bool:
    """Tell whether this user's processes may listen on such a port, free or not."""
    return _refusal(address, port) != errno.EACCES


def is_supported(address: str) -> bool:
    """Tell whether this machine has the family of an address: without IPv6 in the kernel there is no ::1."""
    refusal = _refusal(address, 0)
    return refusal != errno.EAFNOSUPPORT and not (address == "::1" and refusal == errno.EADDRNOTAVAIL)


def first_unprivileged() -> int:
    """Return the lowest port that any user may listen on (Linux: the sysctl net.ipv4.ip_unprivileged_port_start)."""
    try:
        return int((PROC / "sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 1024


def may_bind_all(program: str) -> bool:
    """Tell whether a program on the PATH has CAP_NET_BIND_SERVICE (`setcap`), so that it may open any port."""
    found = process.which(program)
    if sys.platform != "linux" or found is None:
        return False
    try:
        return bool(os.getxattr(found, "security.capability"))
    except OSError:  # it has none
        return False


def next_free(address: str, port: int) -> int:
    """Return the first free port after `port`, among the unprivileged ones; the lower ones come after the highest."""
    return next(filter(partial(is_free, address), after(port)))


def after(port: int) -> chain[int]:
    """Return the ports to try after `port`, in their order: unprivileged ones, the lower ones after the highest."""
    first = max(port + 1, ALTERNATIVE + 1 if port < 1024 else port + 1)
    return chain(range(first, 65536), range(1024, first))


def holder(port: int) -> Holder | None:
    """Return the process that listens on the TCP port `port`, as far as this user may see it; None otherwise."""
    import psutil

    pids = {pid for pid, entry in _sockets() if pid and entry.status == psutil.CONN_LISTEN and entry.laddr.port == port}
    for pid in sorted(pids):
        with contextlib.suppress(psutil.Error):  # it has ended
            found = psutil.Process(pid)
            words = process.last_lines(" ".join(found.cmdline()), 1).strip()
            return Holder(pid, found.name(), words[:LONGEST_COMMAND])
    return None


def _sockets() -> Iterator[tuple[int | None, Any]]:
    import psutil

    return ((found.pid, found) for found in psutil.net_connections("tcp"))


def _has_socket(address: str, port: int) -> bool:
    """Tell whether a server has the port there.

    For a privileged one, the kernel tells only root by `bind`: it refuses others before it looks whether it is free.
    """
    import psutil

    servers = (entry for _, entry in _sockets() if entry.status == psutil.CONN_LISTEN)
    return any(entry.laddr.port == port and _excludes(entry.laddr.ip, address) for entry in servers if entry.laddr)


def _excludes(one: str, other: str) -> bool:
    """Tell whether a socket at the first address keeps the second from having the same port; `::` is IPv4's too."""
    theirs, ours = ip_address(one), ip_address(other)
    if isinstance(theirs, IPv6Address):
        theirs = theirs.ipv4_mapped or theirs
    whole = theirs.is_unspecified and (theirs.version == 6 or ours.version == 4)
    return theirs == ours or whole or (ours.is_unspecified and theirs.version == ours.version)


def _refusal(address: str, port: int) -> int:
    """Return the error number of an attempt to bind, 0 for none."""
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
    main = _of_default_route()
    found = {IPv4Address(each) for each in (*((main,) if main else ()), *_of_interfaces())}
    ordered = sorted(found, key=lambda each: (not each.is_private, str(each) != main, each))
    return tuple(str(each) for each in ordered if not each.is_loopback and not each.is_link_local)


def routes() -> list[tuple[IPv4Network, str]]:
    """Return the IPv4 networks that this machine has routes to, with their devices (proc(5), /proc/net/route).

    The default route is not among them.
    """
    with contextlib.suppress(OSError, ValueError):
        rows = [line.split() for line in ROUTES.read_text(encoding="utf-8").splitlines()[1:]]
        found = [(_number(row[1]), _number(row[7]), row[0]) for row in rows if int(row[3], 16) & _UP]
        return [(IPv4Network((network, mask.bit_count())), device) for network, mask, device in found if mask]
    return []


def _number(word: str) -> int:
    return int.from_bytes(struct.pack("=I", int(word, 16)), "big")


def _of_default_route() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _of_interfaces() -> Iterator[str]:
    import psutil

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    for name, addresses in psutil.net_if_addrs().items():
        if name in up and not _INSIDE.match(name):
            yield from (address.address for address in addresses if address.family == socket.AF_INET)


def is_peer_ours(uid: int, peer: tuple[Any, ...], local: tuple[Any, ...]) -> bool:
    """Tell whether root or `uid` has the other end, `peer`, of a connection to `local`; True where that is unknown.

    See proc_pid_net(5). A socket that its process has closed already is shown as root's, with no inode, and counts as
    unknown: what was sent from it must not be believed.
    """
    table = SOCKET_TABLES[ip_address(peer[0].partition("%")[0]).version]
    try:
        lines = table.read_text(encoding="utf-8").splitlines()[1:]
    except OSError:
        return True
    wanted = (_written(peer), _written(local))
    for fields in (line.split() for line in lines):
        if (fields[1], fields[2]) == wanted:
            return fields[3] == ESTABLISHED and fields[9] != "0" and int(fields[7]) in (0, uid)
    return False


def _written(end: tuple[Any, ...]) -> str:
    """Return an address in the kernel's form: words of four bytes in the machine's order."""
    packed = ip_address(end[0].partition("%")[0]).packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{end[1]:04X}"
