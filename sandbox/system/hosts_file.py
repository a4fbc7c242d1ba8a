"""Lines of the system's hosts file for names of sandboxes, each marked as ours; no other line is changed.

Browsers, curl and systemd resolve every name below `localhost` by themselves (RFC 6761, section 6.3), Safari and macOS'
getaddrinfo do not, and other domains need lines anyway.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from sandbox.errors import SandboxError

HOSTS = Path("/etc/hosts")
_OURS = re.compile(r"^\S+\s+\S+\s+# sandbox: (?P<sandbox>\S+)$")


def read() -> str:
    try:
        return HOSTS.read_bytes().decode(errors="surrogateescape")
    except OSError as error:
        raise SandboxError(f"{HOSTS} cannot be read", details=str(error)) from error


def lines(sandbox: str, hosts: Iterable[str], address: str) -> tuple[str, ...]:
    return tuple(f"{address} {host}  # sandbox: {sandbox}" for host in sorted(set(hosts)))


def placed(text: str, sandbox: str, hosts: Iterable[str], address: str) -> str:
    rest = removed(text, sandbox)
    whole = rest if not rest or rest.endswith("\n") else rest + "\n"
    return whole + "".join(f"{line}\n" for line in lines(sandbox, hosts, address))


def removed(text: str, sandbox: str | None) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not _is_of(line, sandbox))


def _is_of(line: str, sandbox: str | None) -> bool:
    match = _OURS.match(line.rstrip("\r\n"))
    return match is not None and sandbox in (None, match["sandbox"])
