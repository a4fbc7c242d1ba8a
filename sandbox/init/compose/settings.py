"""The settings of a compose service that a container, a pod or a Deployment has too, in Kubernetes' words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sandbox.config import untyped
from sandbox.images.sync_rules import is_place
from sandbox.init.compose.merge import keys, listed

KEYS = {
    *("cap_add", "cap_drop", "cpus", "deploy", "mem_limit", "mem_reservation"),
    *("privileged", "read_only", "scale", "shm_size", "tmpfs"),
}
SHARED_MEMORY = "/dev/shm"  # noqa: S108  # where POSIX has it
# Seconds of the units of durations, and bytes of those of sizes (Compose Specification, 11-extension.md).
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
BYTES = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) *([a-z]{0,2})", re.IGNORECASE)
_PARTS = re.compile(rf"([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?)({'|'.join(SECONDS)})")
_CAPABILITY = re.compile(r"(?:CAP_)?([A-Z_]+)")
_COUNT = re.compile(r"[0-9]{1,4}")


@dataclass
class Settings:
    """Fields of the container, how many pods, and places in memory with their largest sizes."""

    container: dict[str, Any] = field(default_factory=dict)
    replicas: int | None = None
    memory: dict[str, str] = field(default_factory=dict)


def settings(service: Mapping[str, Any], left_out: list[str]) -> Settings:
    """Return the settings of a service; `left_out` gets the keys of what has no counterpart."""
    result = Settings()
    deploy = untyped.mapping(service, "deploy")
    left_out += [f"deploy.{key}" for key in keys(deploy) - {"replicas", "resources"}]
    replicas = deploy.get("replicas", service.get("scale"))
    if _COUNT.fullmatch(str(replicas)):
        result.replicas = int(str(replicas))
    if resources := _resources(service, deploy, left_out):
        result.container["resources"] = resources
    if security := _security(service, left_out):
        result.container["securityContext"] = security
    for place, size in _memory(service):
        if is_place(place):
            result.memory[place.rstrip("/")] = quantity(size) or ""
        else:
            left_out.append(f"tmpfs.{place}")
    return result


def seconds(duration: Any) -> float | None:
    """Return a duration such as `1m30s` in seconds; None for anything else."""
    parts = _PARTS.findall(str(duration))
    if not parts or "".join(map("".join, parts)) != str(duration):
        return None
    return float(sum(float(number) * SECONDS[unit] for number, unit in parts))


def quantity(size: Any) -> str | None:
    """Return a size such as `64m` as Kubernetes has it; None for anything else."""
    match = _SIZE.fullmatch(str(size))
    unit = BYTES.get(match[2].lower()) if match else None
    if match is None or unit is None:
        return None
    number = int(float(match[1]) * unit)
    units = (("Mi", 1 << 20), ("Ki", 1 << 10))
    return next((f"{number // factor}{name}" for name, factor in units if not number % factor), str(number))


def _resources(service: Mapping[str, Any], deploy: Mapping[str, Any], left_out: list[str]) -> dict[str, dict[str, str]]:
    limits, reserved = (untyped.mapping(deploy, "resources", key) for key in ("limits", "reservations"))
    left_out += [f"deploy.resources.limits.{key}" for key in limits.keys() - {"cpus", "memory"}]
    left_out += [f"deploy.resources.reservations.{key}" for key in reserved.keys() - {"memory"}]
    most: dict[str, str] = {}
    with suppress(ValueError):
        if processors := float(limits.get("cpus", service.get("cpus", 0))):
            most["cpu"] = f"{math.ceil(processors * 1000)}m"
    if memory := quantity(limits.get("memory", service.get("mem_limit"))):
        most["memory"] = memory
    # A limit without a request would reserve as much.
    requests = dict.fromkeys(most, "0")
    if least := quantity(reserved.get("memory", service.get("mem_reservation"))):
        requests["memory"] = least
    return {key: values for key, values in (("limits", most), ("requests", requests)) if values}


def _security(service: Mapping[str, Any], left_out: list[str]) -> dict[str, Any]:
    security: dict[str, Any] = {}
    for key, field_name in (("privileged", "privileged"), ("read_only", "readOnlyRootFilesystem")):
        if service.get(key) is True:
            security[field_name] = True
    capabilities: dict[str, list[str]] = {}
    for key, name in (("cap_add", "add"), ("cap_drop", "drop")):
        for capability in map(str, listed(service.get(key))):
            if match := _CAPABILITY.fullmatch(capability.upper()):
                capabilities.setdefault(name, []).append(match[1])
            else:
                left_out.append(f"{key}.{capability}")
    return {**security, **({"capabilities": capabilities} if capabilities else {})}


def _memory(service: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the places of `tmpfs`, of volumes of that type, and of memory that is shared, with their sizes."""
    for entry in map(str, listed(service.get("tmpfs"))):
        place, _, options = entry.partition(":")
        yield place, next((text.partition("=")[2] for text in options.split(",") if text.startswith("size=")), "")
    for volume in untyped.mappings(service, "volumes"):
        if volume.get("type") == "tmpfs":
            yield str(volume.get("target") or ""), untyped.mapping(volume, "tmpfs").get("size", "")
    if service.get("shm_size") is not None:
        yield SHARED_MEMORY, service["shm_size"]
