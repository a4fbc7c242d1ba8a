"""The addresses at which others on its networks reach this machine."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address

from sandbox.errors import SandboxError
from sandbox.system import process

TIMEOUT = 5.0
# Networks of engines and of virtual machines on this machine: nobody else is on them.
_INSIDE = re.compile(r"(docker|br-[0-9a-f]{12}$|veth|virbr|vnet|cni|flannel|cali|podman|lxcbr|lxdbr)")
# Reserved for documentation (RFC 5737), hence reached by the default route; nothing is sent there.
_ELSEWHERE = ("198.51.100.1", 9)


def lan() -> tuple[str, ...]:
    """This machine's IPv4 addresses on networks with others, private ones first, then that of the default route."""
    main = _of_default_route()
    found = {IPv4Address(each) for each in (*((main,) if main else ()), *_of_interfaces())}
    ordered = sorted(found, key=lambda each: (not each.is_private, str(each) != main, each))
    return tuple(str(each) for each in ordered if not each.is_loopback and not each.is_link_local)


def _of_default_route() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _of_interfaces() -> Iterator[str]:
    """What iproute2 tells; where it is not installed, the default route's has to do."""
    try:
        found = json.loads(process.run(["ip", "-j", "-4", "address", "show", "up", "scope", "global"], timeout=TIMEOUT))
    except (SandboxError, ValueError):
        return
    for interface in found:  # what does not fit the filter is told as an empty object
        if interface and not _INSIDE.match(interface["ifname"]):
            yield from (each["local"] for each in interface["addr_info"])
