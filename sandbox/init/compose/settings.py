"""Ports of a compose service, and its settings that a container, a pod or a Deployment has too."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from sandbox.config import untyped
from sandbox.images.sync_rules import is_place
from sandbox.init.compose.merge import keys, listed
from sandbox.init.detected import NOT_HTTP, last_part

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
# A range with more ports gets its first only: a media server may name thousands.
LONGEST_RANGE = 100
# Ports of well-known programs whose service names no port, by the last part of their image's name.
PORTS = {
    **{"postgres": 5432, "postgresql": 5432, "postgis": 5432, "timescaledb": 5432},
    **{"mysql": 3306, "mariadb": 3306, "percona": 3306, "mongo": 27017, "mongodb": 27017},
    **{"redis": 6379, "valkey": 6379, "memcached": 11211, "rabbitmq": 5672, "nats": 4222, "kafka": 9092},
    **{"elasticsearch": 9200, "opensearch": 9200, "cassandra": 9042, "zookeeper": 2181, "minio": 9000},
}
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp))?", re.IGNORECASE)


def fields(service: Mapping[str, Any], left_out: list[str]) -> dict[str, Any]:
    """Return the fields of an App for these settings; `left_out` gets the keys of what has no counterpart."""
    deploy = untyped.mapping(service, "deploy")
    left_out += [f"deploy.{key}" for key in keys(deploy) - {"replicas", "resources"}]
    replicas = str(deploy.get("replicas", service.get("scale")))
    container = {
        "resources": _resources(service, deploy, left_out),
        "securityContext": _security(service, left_out),
    }
    memory: dict[str, str] = {}
    for place, size in _memory(service):
        if is_place(place):
            memory[place.rstrip("/")] = quantity(size) or ""
        else:
            left_out.append(f"tmpfs.{place}")
    return {
        "replicas": int(replicas) if _COUNT.fullmatch(replicas) else None,
        "container": {key: value for key, value in container.items() if value},
        "memory": memory,
    }


def seconds(duration: Any) -> float | None:
    parts = _PARTS.findall(str(duration))
    if not parts or "".join(map("".join, parts)) != str(duration):
        return None
    return float(sum(float(number) * SECONDS[unit] for number, unit in parts))


def quantity(size: Any) -> str | None:
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
    with suppress(OverflowError, TypeError, ValueError):
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
    for entry in map(str, listed(service.get("tmpfs"))):
        place, _, options = entry.partition(":")
        yield place, next((text.partition("=")[2] for text in options.split(",") if text.startswith("size=")), "")
    for volume in untyped.mappings(service, "volumes"):
        if volume.get("type") == "tmpfs":
            yield str(volume.get("target") or ""), untyped.mapping(volume, "tmpfs").get("size", "")
    if service.get("shm_size") is not None:
        yield SHARED_MEMORY, service["shm_size"]


def listening(
    service: Mapping[str, Any], image: str | None, left_out: list[str]
) -> tuple[int | None, tuple[tuple[int, str], ...]]:
    """Return the port that an Ingress leads to, and the others with their protocols.

    `image` is None for a program that is built here.
    """
    ports = list(dict.fromkeys(_named(service, left_out)))
    numbers = [number for number, protocol in ports if protocol == "tcp"]
    main = next((number for number in numbers if number not in NOT_HTTP), next(iter(numbers), None))
    others = tuple(port for port in ports if port != (main, "tcp"))
    return main or (PORTS.get(last_part(image)) if image else None), others


def _named(service: Mapping[str, Any], left_out: list[str]) -> Iterator[tuple[int, str]]:
    # `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, or the long form
    for key in ("ports", "expose"):
        for entry in listed(service.get(key)):
            text = f"{entry.get('target')}/{entry.get('protocol') or 'tcp'}" if isinstance(entry, dict) else str(entry)
            match = _PORT.fullmatch(text.rpartition(":")[2])
            start, end = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
            if match is None or not 0 < start <= end < 65536:
                left_out.append(f"{key}.{text}")
                continue
            if end - start >= LONGEST_RANGE:
                left_out.append(f"{key}.{start}-{end}")
                end = start
            yield from ((port, (match[3] or "tcp").lower()) for port in range(start, end + 1))
