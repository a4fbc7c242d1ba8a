"""The ports on which the program of a compose service listens: those it names, and the usual one of its image."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.init.compose.merge import listed
from sandbox.init.detected import last_part

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


def listening(
    service: Mapping[str, Any], image: str | None, left_out: list[str]
) -> tuple[int | None, tuple[tuple[int, str], ...]]:
    """Return the port that an Ingress leads to, and the others with their protocols.

    `image` is None for a program that is built here.
    """
    ports = list(dict.fromkeys(_named(service, left_out)))
    main = next((number for number, protocol in ports if protocol == "tcp"), None)
    others = tuple(port for port in ports if port != (main, "tcp"))
    return main or (PORTS.get(last_part(image)) if image else None), others


def _named(service: Mapping[str, Any], left_out: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the container's ports and protocols: of `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, the long form, `expose`."""
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
