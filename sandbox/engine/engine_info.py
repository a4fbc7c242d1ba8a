"""What an engine tells of itself and of the machine it runs on, as typed values instead of its many-keyed answer."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

# The first release that drops packets from outside for ports that are published on the loopback.
HARDENED = 28


@dataclass(frozen=True)
class Facts:
    """The answer of `GET /info` (Docker Engine API): memory in bytes, `time` the engine's clock, None when unreadable.

    `local` is whether it is reached through a socket of this machine; only then `root`, where it keeps images and
    volumes, may be a folder of this machine. `kernel` is the release of what its machine runs on, `isolating` whether
    it keeps containers from users or from each other in a way of its own. `runtime` is what starts its containers by
    default. `proxies` maps http, https and no to what the engine itself uses.
    """

    version: str
    api: str
    local: bool
    system: str
    kernel: str
    rootless: bool
    isolating: bool
    cgroup_version: int
    runtime: str
    cpus: int
    memory: int
    root: Path
    time: datetime | None
    proxies: Mapping[str, str]

    @property
    def is_here(self) -> bool:
        """Whether the engine's machine is this one, without another system between."""
        here = sys.platform == "linux" and self.kernel == platform.release() and "desktop" not in self.system.lower()
        return here and self.local

    @property
    def is_hardened(self) -> bool:
        """Whether its release keeps neighbours from ports that it publishes on 127.0.0.1."""
        number = re.match(r"\d+", self.version)
        return number is not None and int(number[0]) >= HARDENED


def read(info: Mapping[str, Any], *, api: str, local: bool) -> Facts:
    """The facts in an engine's answer; `api` is the version spoken with it."""
    proxies = {"http": info.get("HttpProxy"), "https": info.get("HttpsProxy"), "no": info.get("NoProxy")}
    options = [str(option).partition(",")[0] for option in info.get("SecurityOptions") or ()]
    return Facts(
        version=str(info["ServerVersion"]),
        api=api,
        local=local,
        system=str(info.get("OperatingSystem") or ""),
        kernel=str(info.get("KernelVersion") or ""),
        rootless="name=rootless" in options,
        isolating=not {"name=rootless", "name=userns", "name=selinux"}.isdisjoint(options),
        cgroup_version=int(info.get("CgroupVersion") or 2),
        runtime=str(info.get("DefaultRuntime") or "runc"),
        cpus=int(info.get("NCPU") or 0),
        memory=int(info.get("MemTotal") or 0),
        root=Path(info.get("DockerRootDir") or "/var/lib/docker"),
        time=_moment(str(info.get("SystemTime") or "")),
        proxies={name: str(value) for name, value in proxies.items() if value},
    )


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
