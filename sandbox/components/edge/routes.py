"""The routes in the edge's folder: a file for each sandbox, for its registry's port, and for what commands added."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sandbox.components.edge.route import AddedRoute, Forward, Host, Port, RegistryRoute, Route
from sandbox.errors import SandboxError, UsageError
from sandbox.system import files

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Found = TypeVar("Found")

READABLE = 0o644  # the edge's container may run as another user
_TYPES = {"str": str, "int": int, "float": int | float, "bool": bool, "tuple[str, ...]": str}


def load(folder: Path) -> tuple[Route, ...]:
    """Return every route in the edge's folder, oldest first. Raises SandboxError for a file that is not a route."""
    added = added_ports(folder)

    def read(content: dict[str, Any]) -> Route:
        found = _read(content)
        ports = tuple(port for name, port in added if name == found.name)
        return replace(found, added_ports=ports, node_ports=_node_ports(folder, found.name))

    routes = _each(folder, "routes/*.json", "a route", read)
    return tuple(sorted(routes, key=lambda route: (route.since, route.name)))


def _each(folder: Path, pattern: str, what: str, read: Callable[[Any], Found]) -> list[Found]:
    """Return what `read` makes of each of the JSON files; none of one that another command removes meanwhile.

    Raises SandboxError for a file that is not `what`.
    """
    found = []
    for path in sorted(folder.glob(pattern)):
        try:
            found.append(read(files.read_json(path)))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            details, fix = f"{error}: it is damaged, or of a newer release", f"rm -r {shlex.quote(str(path))}"
            raise SandboxError(f"{path} is not {what}", details=details, fix=fix, id="route") from error
    return found


def save(folder: Path, route: Route) -> None:
    content = {key: value for key, value in asdict(route).items() if key not in ("added_ports", "node_ports")}
    _write(folder / "routes" / f"{route.name}.json", content)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomic(path, json.dumps(content).encode(), mode=READABLE)


def remove(folder: Path, name: str) -> bool:
    """Remove one sandbox's route; returns whether there was one."""
    path = folder / "routes" / f"{name}.json"
    known = path.exists()
    path.unlink(missing_ok=True)
    files.sweep(path)
    (folder / "routes" / "node-ports" / f"{name}.json").unlink(missing_ok=True)
    return known


def save_node_ports(folder: Path, name: str, node_ports: Mapping[str, int]) -> None:
    """Save, for the Services of a sandbox's ports, the port that every node has for them."""
    _write(folder / "routes" / "node-ports" / f"{name}.json", dict(sorted(node_ports.items())))


def _node_ports(folder: Path, name: str) -> tuple[tuple[str, int], ...]:
    try:
        found = files.read_json(folder / "routes" / "node-ports" / f"{name}.json")
        return tuple((str(to), int(port)) for to, port in found.items())
    except (OSError, ValueError, TypeError, AttributeError):
        return ()  # they are looked up again


def added_ports(folder: Path) -> tuple[tuple[str, Port], ...]:
    """Return every port that a command added, with its sandbox. Raises SandboxError for a file that is not one."""

    def read(content: dict[str, Any]) -> tuple[str, Port]:
        return str(content.pop("sandbox")), Port(**content)

    found = _each(folder, "routes/ports/*.json", "a port", read)
    return tuple(sorted(found, key=lambda one: (one[0], one[1].port)))


def save_port(folder: Path, name: str, port: Port) -> None:
    _write(folder / "routes" / "ports" / f"{name}.{port.port}.json", {"sandbox": name, **asdict(port)})


def remove_port(folder: Path, name: str, port: int) -> None:
    (folder / "routes" / "ports" / f"{name}.{port}.json").unlink(missing_ok=True)


def load_registries(folder: Path) -> tuple[RegistryRoute, ...]:
    """Return the port of every sandbox's registry. Raises SandboxError for a file that is not one."""
    return tuple(_each(folder, "routes/registries/*.json", "a registry's port", _read_registry))


def _read_registry(content: dict[str, Any]) -> RegistryRoute:
    forward = content.pop("forward")
    names = tuple(content.pop("names"))
    registry = RegistryRoute(**content, names=names, forward=Forward(**forward) if forward else None)
    _require_types(registry)
    return registry


def save_registry(folder: Path, registry: RegistryRoute) -> None:
    _write(folder / "routes" / "registries" / f"{registry.sandbox}.json", asdict(registry))


def remove_registry(folder: Path, name: str) -> bool:
    """Remove the port of one sandbox's registry; returns whether there was one."""
    path = folder / "routes" / "registries" / f"{name}.json"
    existed = path.exists()
    path.unlink(missing_ok=True)
    return existed


def registry_of(folder: Path, name: str) -> RegistryRoute | None:
    return next((one for one in load_registries(folder) if one.sandbox == name), None)


def forwards(folder: Path, sandbox: str | None = None) -> tuple[Forward, ...]:
    """Return the port-forwards that all routes need, or those of one sandbox."""
    registries = (one.forward for one in load_registries(folder) if sandbox in (None, one.sandbox))
    known = (route for route in load(folder) if sandbox in (None, route.name))
    return (*(each for route in known for each in route.forwards), *filter(None, registries))


def find(routes: Sequence[Route], name: str) -> Route | None:
    return next((route for route in routes if route.name == name), None)


def require_unclaimed(mine: Route, others: Sequence[Route]) -> None:
    """Refuse a domain or host that another sandbox has: requests for it would go to either. Raises UsageError.

    A domain may be inside another one, since the longer one takes precedence; a single host may not be in the domain of
    another sandbox.
    """
    known = [mine, *(route for route in others if route.name != mine.name)]
    for other in known[1:]:
        both = [name for name in mine.domains if name in other.domains]
        both += sorted(mine.named & other.named)
        both += [host for host in sorted(mine.named) if holder(known, host) is other]
        both += [host for host in sorted(other.named) if holder(known, host) is mine]
        if both:
            raise UsageError(
                f"{both[0]} belongs to the sandbox '{other.name}'",
                details=f"its domain is {other.domain}; two sandboxes cannot serve one name, and nothing was changed",
                fix=f"give this sandbox another `domain` or host, or `sandbox down {other.name}`",
                id="domain-taken",
            )


def holder(known: Sequence[Route], host: str) -> Route | None:
    """Return the route with the longest domain that contains the host."""
    fitting = [(len(name), route) for route in known for name in route.domains if f".{host}".endswith(f".{name}")]
    return max(fitting, key=lambda one: one[0])[1] if fitting else None


def _read(content: dict[str, Any]) -> Route:
    listen = tuple((str(address), int(port)) for address, port in content.pop("listen"))
    hosts = tuple(Host(**host) for host in content.pop("hosts", ()))
    replicas, aliases = tuple(content.pop("replicas", ())), tuple(content.pop("aliases", ()))
    forwards = tuple(Forward(**forward) for forward in content.pop("forwards", ()))
    ports = tuple(Port(**port) for port in content.pop("ports", ()))
    content |= {"listen": listen, "replicas": replicas, "hosts": hosts, "aliases": aliases, "forwards": forwards}
    route = Route(**content, ports=ports)
    parts: tuple[Route | Host | Forward | Port, ...] = (route, *hosts, *forwards, *ports)
    for one in parts:
        _require_types(one)
    return route


def _require_types(found: DataclassInstance) -> None:
    """Raise TypeError for a field that is not what its declaration says: a dataclass takes everything."""
    for one in fields(found):
        value = getattr(found, one.name)
        values = value if one.type == "tuple[str, ...]" else (value,)
        if not all(isinstance(part, _TYPES.get(str(one.type), object)) for part in values):
            raise TypeError(f"{one.name} is {value!r}")


def load_added(folder: Path) -> tuple[AddedRoute, ...]:
    """Return every such route in the edge's folder, by host. Raises SandboxError for a file that is not one."""
    return tuple(_each(folder, "routes/by-hand/*.json", "a route", _read_added))


def _read_added(content: dict[str, Any]) -> AddedRoute:
    route = AddedRoute(**content)
    _require_types(route)
    return route


def save_added(folder: Path, route: AddedRoute) -> None:
    _write(folder / "routes" / "by-hand" / f"{route.host}.json", asdict(route))


def remove_added(folder: Path, host: str) -> None:
    (folder / "routes" / "by-hand" / f"{host}.json").unlink(missing_ok=True)


def added_hosts(found: Sequence[AddedRoute], sandbox: str) -> tuple[Host, ...]:
    return tuple(Host(one.host, terminate=True, to=one.to) for one in found if one.sandbox == sandbox)


def merged(routes: Sequence[Route], found: Sequence[AddedRoute]) -> tuple[Route, ...]:
    """Return the sandboxes' routes with those that commands added, which take precedence over a spec's."""
    result = []
    for route in routes:
        added = added_hosts(found, route.name)
        kept = tuple(host for host in route.hosts if host.host not in {one.host for one in added})
        result.append(replace(route, hosts=(*kept, *added)))
    return tuple(result)


def ending(
    spec: Sequence[Host], found: Sequence[AddedRoute], sandbox: str, aliases: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the hosts whose TLS ends at the edge: a sandbox's, of its spec and added by commands, and its aliases'."""
    exact = {host.host for host in (*spec, *added_hosts(found, sandbox)) if host.terminate}
    return tuple(sorted(exact | {name for alias in aliases for name in (alias, f"*.{alias}")}))


def leaving(spec: Sequence[Host], found: Sequence[AddedRoute], sandbox: str) -> tuple[str, ...]:
    """Return the hosts that a sandbox's spec or a command routes to servers outside its cluster."""
    return tuple(sorted({host.host for host in (*spec, *added_hosts(found, sandbox)) if host.to}))
