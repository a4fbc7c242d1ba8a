"""The routes in the edge's folder: a file for each sandbox, for its registry's port, and for what commands added."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from sandbox.components.edge.route import AddedRoute, Forward, Host, Port, RegistryRoute, Route
from sandbox.errors import SandboxError, UsageError
from sandbox.system import files

T = TypeVar("T")

_ROUTE, _REGISTRY = TypeAdapter(Route), TypeAdapter(RegistryRoute)
_ADDED_HOST, _ADDED_PORT = TypeAdapter(AddedRoute), TypeAdapter(tuple[str, Port])


def load(folder: Path) -> tuple[Route, ...]:
    """Return every route with what commands added to it, oldest first. Raises SandboxError for a damaged file."""
    routes = (with_added(folder, route) for route in _read_all(folder, "", _ROUTE))
    return tuple(sorted(routes, key=lambda route: (route.since, route.name)))


def with_added(folder: Path, route: Route) -> Route:
    added = (host for host in load_added(folder) if host.sandbox == route.name)
    hosts = tuple(Host(host.host, terminate=True, to=host.to) for host in added)
    ports = tuple(port for sandbox, port in added_ports(folder) if sandbox == route.name)
    return replace(route, added_hosts=hosts, added_ports=ports)


def save(folder: Path, route: Route) -> None:
    _write(folder, route.name, _ROUTE.dump_json(replace(route, added_hosts=(), added_ports=())))


def remove(folder: Path, name: str) -> bool:
    """Remove what is in the file `name` below the folder of routes; returns whether it existed."""
    path = folder / "routes" / f"{name}.json"
    existed = path.exists()
    path.unlink(missing_ok=True)
    return existed


def load_registries(folder: Path) -> tuple[RegistryRoute, ...]:
    return tuple(_read_all(folder, "registries/", _REGISTRY))


def save_registry(folder: Path, registry: RegistryRoute) -> None:
    _write(folder, f"registries/{registry.sandbox}", _REGISTRY.dump_json(registry))


def remove_registry(folder: Path, name: str) -> bool:
    return remove(folder, f"registries/{name}")


def registry_of(folder: Path, name: str) -> RegistryRoute | None:
    return next((registry for registry in load_registries(folder) if registry.sandbox == name), None)


def load_added(folder: Path) -> tuple[AddedRoute, ...]:
    return tuple(_read_all(folder, "by-hand/", _ADDED_HOST))


def save_added(folder: Path, route: AddedRoute) -> None:
    _write(folder, f"by-hand/{route.host}", _ADDED_HOST.dump_json(route))


def remove_added(folder: Path, host: str) -> None:
    remove(folder, f"by-hand/{host}")


def added_ports(folder: Path) -> tuple[tuple[str, Port], ...]:
    return tuple(sorted(_read_all(folder, "ports/", _ADDED_PORT), key=lambda added: (added[0], added[1].port)))


def save_port(folder: Path, name: str, port: Port) -> None:
    _write(folder, f"ports/{name}.{port.port}", _ADDED_PORT.dump_json((name, port)))


def remove_port(folder: Path, name: str, port: int) -> None:
    remove(folder, f"ports/{name}.{port}")


def forwards(folder: Path, sandbox: str | None = None) -> tuple[Forward, ...]:
    registries = (registry.forward for registry in load_registries(folder) if sandbox in (None, registry.sandbox))
    routes = (route for route in load(folder) if sandbox in (None, route.name))
    return (*(forward for route in routes for forward in route.forwards), *filter(None, registries))


def find(routes: Sequence[Route], name: str) -> Route | None:
    return next((route for route in routes if route.name == name), None)


def require_unclaimed(mine: Route, others: Sequence[Route]) -> None:
    """Refuse a domain or host that another sandbox has: requests for it would go to either. Raises UsageError.

    A domain may be inside another one, since the longer one takes precedence; a single host may not be in the domain of
    another sandbox.
    """
    routes = [mine, *(route for route in others if route.name != mine.name)]
    for other in routes[1:]:
        both = [name for name in mine.domains if name in other.domains]
        both += sorted(mine.named & other.named)
        both += [host for host in sorted(mine.named) if holder(routes, host) is other]
        both += [host for host in sorted(other.named) if holder(routes, host) is mine]
        if both:
            raise UsageError(
                f"{both[0]} belongs to the sandbox '{other.name}'",
                details=f"its domain is {other.domain}; two sandboxes cannot serve one name, and nothing was changed",
                fix=f"give this sandbox another `domain` or host, or `sandbox down {other.name}`",
                id="domain-taken",
            )


def holder(routes: Sequence[Route], host: str) -> Route | None:
    """Return the route with the longest domain that contains the host."""
    fitting = [(len(name), route) for route in routes for name in route.domains if f".{host}".endswith(f".{name}")]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def _read_all(folder: Path, place: str, kind: TypeAdapter[T]) -> list[T]:
    values = []
    for path in sorted(folder.glob(f"routes/{place}*.json")):
        try:
            values.append(kind.validate_json(files.read_regular(path)))
        except FileNotFoundError:  # another command has removed it
            continue
        except (OSError, ValueError) as error:
            fix = f"rm -r {shlex.quote(str(path))}, then sandbox up"
            raise SandboxError(f"{path} is not a route", details=str(error), fix=fix, id="route") from error
    return values


def _write(folder: Path, name: str, content: bytes) -> None:
    files.write_private(folder / "routes" / f"{name}.json", content)
