"""Which user of this machine is at the other end of a loopback connection, as the kernel tells it."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from pathlib import Path
from typing import Any

TABLES = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}
ESTABLISHED = "01"


def is_ours(uid: int, peer: tuple[Any, ...], local: tuple[Any, ...]) -> bool:
    """Whether root or `uid` holds the other end, `peer`, of a connection to `local`; True where no kernel tells.

    proc_pid_net(5). A socket that its process has closed already is shown as root's, with no inode, and counts as
    nobody's: what was sent from it must not be believed.
    """
    table = TABLES[ip_address(peer[0].partition("%")[0]).version]
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
    """An address as the kernel prints it: words of four bytes in the machine's order."""
    packed = ip_address(end[0].partition("%")[0]).packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{end[1]:04X}"
