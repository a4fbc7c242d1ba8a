"""The settings of a compose service that a container, a pod or a Deployment has too, in Kubernetes' words."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from sandbox.config import untyped
from sandbox.config.schema.values import SUBDOMAIN
from sandbox.images.sync_rules import is_place
from sandbox.init.compose.merge import keys, listed
from sandbox.init.detected import label

KEYS = {
    *("cap_add", "cap_drop", "cpus", "deploy", "extra_hosts", "hostname", "mem_limit", "mem_reservation"),
    *("privileged", "read_only", "scale", "security_opt", "shm_size", "stop_grace_period", "tmpfs"),
}
NO_NEW_PRIVILEGES = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")
# Which of several networks goes first, of which a pod has one.
ORDER = {"priority", "gw_priority", "interface_name"}
SHARED_MEMORY = "/dev/shm"  # noqa: S108  # where POSIX has it
# Seconds of the units of durations, and bytes of those of sizes (Compose Specification, 11-extension.md).
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
BYTES = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) *([a-z]{0,2})", re.IGNORECASE)
_PARTS = re.compile(rf"([0-9.]++)({'|'.join(SECONDS)})")
_DURATION = re.compile(rf"(?:{_PARTS.pattern})++")
_BETWEEN = re.compile("[:=]")  # a host and its address
_CAPABILITY = re.compile(r"(?:CAP_)?([A-Z_]+)")


@dataclass
class Settings:
    """Fields of the container and of its pod, how many pods, and places in memory with their largest sizes.

    `left_out` names what has no counterpart.
    """

    container: dict[str, Any] = field(default_factory=dict)
    pod: dict[str, Any] = field(default_factory=dict)
    replicas: int | None = None
    memory: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def settings(service: Mapping[str, Any]) -> Settings:
    """Return the settings of a service."""
    found = Settings()
    _resources(service, found)
    if service.get("pull_policy") == "always" and not service.get("build"):  # others are an engine's concern
        found.container["imagePullPolicy"] = "Always"
    if security := _security(service, found):
        found.container["securityContext"] = security
    if (said := service.get("stop_grace_period")) is not None:
        if (patience := seconds(said)) is None:
            found.left_out.append("stop_grace_period")
        else:
            found.pod["terminationGracePeriodSeconds"] = math.ceil(patience)
    if name := str(service.get("hostname") or ""):
        if label(name) == name:
            found.pod["hostname"] = name
        else:
            found.left_out.append("hostname")
    if aliases := _host_aliases(service.get("extra_hosts"), found.left_out):
        found.pod["hostAliases"] = aliases
    for name, key in _of_networks(service):
        found.left_out.append(f"networks.{name}.{key}")
    for place, size in _memory(service):
        if is_place(place) and "$" not in place:
            found.memory[place.rstrip("/")] = quantity(size) or ""
        else:
            found.left_out.append(f"tmpfs.{place}")
    return found


def aliases(service: Mapping[str, Any]) -> list[str]:
    """Return the other names that a service has on its networks."""
    networks = untyped.mapping(service, "networks").values()
    return list(dict.fromkeys(str(each) for one in networks for each in listed(untyped.at(one, "aliases"))))


def _of_networks(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a service says of its networks besides aliases, such as an address, by their names."""
    for name, network in untyped.mapping(service, "networks").items():
        yield from ((str(name), key) for key in keys(untyped.mapping(network)) - {"aliases", *ORDER})


def words(given: Any) -> tuple[str, ...]:
    """Return a command as a list; text is split as by a shell."""
    if isinstance(given, str):
        try:
            return tuple(shlex.split(given.replace("$$", "$")))
        except ValueError:
            return ()
    return tuple(str(one).replace("$$", "$") for one in given) if isinstance(given, list) else ()


def seconds(said: Any) -> float | None:
    """Return a duration such as `1m30s` in seconds; None for what is none, or longer than an API server takes."""
    text = str(said)
    if not _DURATION.fullmatch(text):
        return None
    try:
        found = float(sum(float(number) * SECONDS[unit] for number, unit in _PARTS.findall(text)))
    except ValueError:
        return None
    return found if found < 1 << 31 else None


def quantity(said: Any) -> str | None:
    """Return a size such as `64m` as Kubernetes has it; None for what is none."""
    match = _SIZE.fullmatch(str(said))
    unit = BYTES.get(match[2].lower()) if match else None
    if match is None or unit is None:
        return None
    size = int(float(match[1]) * unit)
    units = (("Mi", 1 << 20), ("Ki", 1 << 10))
    return next((f"{size // one}{name}" for name, one in units if not size % one), str(size))


def _resources(service: Mapping[str, Any], found: Settings) -> None:
    """Add replicas and limits: of processors, of which fewer may be there, none is reserved."""
    deploy = untyped.mapping(service, "deploy")
    limits, reserved = (untyped.mapping(deploy, "resources", key) for key in ("limits", "reservations"))
    found.left_out += [f"deploy.{key}" for key in keys(deploy) - {"replicas", "resources"}]
    found.left_out += [f"deploy.resources.limits.{key}" for key in limits.keys() - {"cpus", "memory"}]
    found.left_out += [f"deploy.resources.reservations.{key}" for key in reserved.keys() - {"memory"}]
    for key, said in (("scale", service.get("scale")), ("deploy.replicas", deploy.get("replicas"))):
        if re.fullmatch(r"[0-9]{1,4}", str(said)):
            found.replicas = int(str(said))
        elif said is not None:
            found.left_out.append(key)
    most: dict[str, str] = {}
    for name, key, said, read in (
        ("cpu", "cpus", limits.get("cpus", service.get("cpus")), _processors),
        ("memory", "mem_limit", limits.get("memory", service.get("mem_limit")), quantity),
    ):
        if said is not None and (value := read(said)):
            most[name] = value
        elif said is not None:
            found.left_out.append(key)
    said = reserved.get("memory", service.get("mem_reservation"))
    least = quantity(said) if said is not None else None
    if said is not None and least is None:
        found.left_out.append("mem_reservation")
    if requests := {**dict.fromkeys(most, "0"), **({"memory": least} if least else {})}:
        # A limit without a request would reserve as much.
        found.container["resources"] = {**({"limits": most} if most else {}), "requests": requests}


def _processors(said: Any) -> str | None:
    text = str(said)
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,9})?|\.[0-9]{1,9}", text) or not float(text):
        return None
    return f"{math.ceil(float(text) * 1000)}m"


def _security(service: Mapping[str, Any], found: Settings) -> dict[str, Any]:
    security: dict[str, Any] = {}
    for key, field_name in (("privileged", "privileged"), ("read_only", "readOnlyRootFilesystem")):
        if service.get(key) is True:
            security[field_name] = True
    for said in map(str, listed(service.get("security_opt"))):
        if said in NO_NEW_PRIVILEGES and "privileged" not in security:  # Kubernetes refuses both
            security["allowPrivilegeEscalation"] = False
        else:
            found.left_out.append(f"security_opt.{said}")
    capabilities: dict[str, list[str]] = {}
    for key, name in (("cap_add", "add"), ("cap_drop", "drop")):
        for said in map(str, listed(service.get(key))):
            if match := _CAPABILITY.fullmatch(said.upper()):
                capabilities.setdefault(name, []).append(match[1])
            else:
                found.left_out.append(f"{key}.{said}")
    return {**security, **({"capabilities": capabilities} if capabilities else {})}


def _host_aliases(given: Any, left_out: list[str]) -> list[dict[str, Any]]:
    """Return the hosts of `extra_hosts` by their addresses; `left_out` gets those that only an engine knows."""
    named: dict[str, list[str]] = {}
    lines = (_BETWEEN.split(str(one), maxsplit=1) for one in listed(given))
    for host, *addresses in given.items() if isinstance(given, Mapping) else lines:
        for said in listed(addresses[0]) if addresses else ("",):
            try:
                address = str(ip_address(str(said).strip("[]")))
            except ValueError:
                address = ""
            if address and re.fullmatch(SUBDOMAIN, str(host)):
                named.setdefault(address, []).append(str(host))
            else:
                left_out.append(f"extra_hosts.{host}")
    return [{"ip": address, "hostnames": hosts} for address, hosts in named.items()]


def _memory(service: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the places of `tmpfs`, of volumes of that type, and of memory that is shared, with their sizes."""
    for one in map(str, listed(service.get("tmpfs"))):
        place, _, options = one.partition(":")
        size = next((each.partition("=")[2] for each in options.split(",") if each.startswith("size=")), "")
        yield place, size
    for one in listed(service.get("volumes")):
        if isinstance(one, Mapping) and one.get("type") == "tmpfs":
            yield str(one.get("target") or ""), untyped.mapping(one, "tmpfs").get("size", "")
    if service.get("shm_size") is not None:
        yield SHARED_MEMORY, service["shm_size"]
