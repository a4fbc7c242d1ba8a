"""The ports on which the program of a compose service listens: those it names, and what a proxy or its image tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.init.compose.merge import listed
from sandbox.init.detected import last_part

# How many ports of one range a Service gets: a media server may name thousands.
MOST_OF_RANGE = 100
# Ports of well-known programs whose service names no port, by the last part of their image's name.
PORTS = {
    **{"postgres": 5432, "postgresql": 5432, "postgis": 5432, "timescaledb": 5432},
    **{"mysql": 3306, "mariadb": 3306, "percona": 3306, "mongo": 27017, "mongodb": 27017},
    **{"redis": 6379, "valkey": 6379, "memcached": 11211, "rabbitmq": 5672, "nats": 4222, "kafka": 9092},
    **{"elasticsearch": 9200, "opensearch": 9200, "cassandra": 9042, "zookeeper": 2181, "minio": 9000},
}
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp))?", re.IGNORECASE)
_PROXIED = re.compile(r"traefik\.(http|tcp)\.services\.\S+\.loadbalancer\.server\.port|traefik\.port")


def listening(
    service: Mapping[str, Any], environment: Mapping[str, str | None], image: str | None
) -> tuple[int | None, tuple[tuple[int, str], ...], list[str]]:
    """Return the port that an Ingress leads to, the others with their protocols, and what is left out.

    The `image` is that of a well-known program, perhaps; None for one that is built here.
    """
    left_out: list[str] = []
    found = list(dict.fromkeys(_named(service, left_out)))
    main = next((number for number, protocol in found if protocol == "tcp"), None) or _proxied(service, environment)
    others = tuple(one for one in found if one != (main, "tcp"))
    return main or (PORTS.get(last_part(image)) if image else None), others, left_out


def published(service: Mapping[str, Any]) -> Iterator[int]:
    """Yield the machine's ports that lead to the service: of `[IP:]HOST:CONTAINER`, and the long form."""
    for one in listed(service.get("ports")):
        said = str(one.get("published")) if isinstance(one, dict) else str(one).rpartition(":")[0].rpartition(":")[2]
        if re.fullmatch(r"[0-9]{1,5}", said):
            yield int(said)


def _named(service: Mapping[str, Any], left_out: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the container's ports and protocols: of `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, the long form, `expose`.

    Of a range too long for a Service it is the first; `left_out` gets that, and what is no port.
    """
    for key in ("ports", "expose"):
        for one in listed(service.get(key)):
            said = f"{one.get('target')}/{one.get('protocol') or 'tcp'}" if isinstance(one, dict) else str(one)
            match = _PORT.fullmatch(said.rpartition(":")[2])
            first, last, protocol = match.groups() if match else ("0", None, None)
            start, end = int(first), int(last or first)
            if not 0 < start <= end < 65536:
                left_out.append(f"{key}.{said}")
                continue
            if end - start >= MOST_OF_RANGE:
                left_out.append(f"{key}.{first}-{last}")
                end = start
            yield from ((port, (protocol or "tcp").lower()) for port in range(start, end + 1))


def _proxied(service: Mapping[str, Any], environment: Mapping[str, str | None]) -> int | None:
    """Return the port that a proxy is told to use: by a label of Traefik, or a variable of nginx-proxy."""
    given = service.get("labels")
    labels = given.items() if isinstance(given, dict) else (str(one).partition("=")[::2] for one in listed(given))
    said = [environment.get("VIRTUAL_PORT"), *(value for key, value in labels if _PROXIED.fullmatch(str(key)))]
    ports = (int(str(one)) for one in said if re.fullmatch(r"[0-9]{1,5}", str(one)))
    return next((one for one in ports if 0 < one < 65536), None)
