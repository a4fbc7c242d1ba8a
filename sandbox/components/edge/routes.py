"""The edge's folder: a file for each sandbox, for its registry's port, for what commands added, and for its key."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter

from sandbox.components.edge.route import AddedRoute, Forward, Host, Port, RegistryRoute, Route, damaged
from sandbox.errors import UsageError
from sandbox.system import files

PATIENCE = 120.0  # seconds; recreating the edge may take several attempts
T = TypeVar("T")


@dataclass(frozen=True)
class RouteFiles(Generic[T]):
    """Values in files of the folder `place` among the routes, each by the name that `name_of` gives it."""

    place: str
    kind: TypeAdapter[T]
    name_of: Callable[[T], str]

    def load(self, folder: Path) -> tuple[T, ...]:
        """Return all values. Raises SandboxError for a damaged file."""
        values = []
        for path in sorted(folder.glob(f"routes/{self.place}*.json")):
            try:
                values.append(self.kind.validate_json(files.read_regular(path)))
            except FileNotFoundError:  # another command has removed it
                continue
            except (OSError, ValueError) as error:
                raise damaged(path, error) from error
        return tuple(values)

    def save(self, folder: Path, value: T) -> None:
        files.write_private(folder / f"routes/{self.place}{self.name_of(value)}.json", self.kind.dump_json(value))

    def remove(self, folder: Path, name: str) -> bool:
        """Remove the value of this name; returns whether it existed."""
        path = folder / f"routes/{self.place}{name}.json"
        existed = path.exists()
        path.unlink(missing_ok=True)
        return existed


_ROUTES = RouteFiles("", TypeAdapter(Route), lambda route: route.name)
REGISTRIES = RouteFiles("registries/", TypeAdapter(RegistryRoute), lambda registry: registry.sandbox)
ADDED_HOSTS = RouteFiles("by-hand/", TypeAdapter(AddedRoute), lambda added: added.host)
ADDED_PORTS = RouteFiles("ports/", TypeAdapter(tuple[str, Port]), lambda added: f"{added[0]}.{added[1].port}")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock the edge, its folder and its ports for the block. Raises SandboxError if another command keeps the lock."""
    with files.exclusive(folder, seconds=PATIENCE):
        files.sweep_below(folder)  # a killed command may have left keys there
        yield


def load(folder: Path) -> tuple[Route, ...]:
    """Return every route with what commands added to it, oldest first. Raises SandboxError for a damaged file."""
    routes = (with_added(folder, route) for route in _ROUTES.load(folder))
    return tuple(sorted(routes, key=lambda route: (route.since, route.name)))


def with_added(folder: Path, route: Route) -> Route:
    added = (host for host in ADDED_HOSTS.load(folder) if host.sandbox == route.name)
    hosts = tuple(Host(host.host, terminate=True, to=host.to) for host in added)
    ports = (port for sandbox, port in ADDED_PORTS.load(folder) if sandbox == route.name)
    return replace(route, added_hosts=hosts, added_ports=tuple(sorted(ports, key=lambda port: port.port)))


def save(folder: Path, route: Route) -> None:
    _ROUTES.save(folder, replace(route, added_hosts=(), added_ports=()))


def remove(folder: Path, name: str) -> bool:
    return _ROUTES.remove(folder, name)


def registry_of(folder: Path, name: str) -> RegistryRoute | None:
    return next((registry for registry in REGISTRIES.load(folder) if registry.sandbox == name), None)


def forwards(folder: Path, sandbox: str | None = None) -> tuple[Forward, ...]:
    registries = (registry.forward for registry in REGISTRIES.load(folder) if sandbox in (None, registry.sandbox))
    routes = (route for route in load(folder) if sandbox in (None, route.name))
    return (*(forward for route in routes for forward in route.forwards), *filter(None, registries))


def key_file(name: str) -> str:
    return f"keys/{name}.pem"


def save_key(folder: Path, name: str, pem: bytes) -> None:
    """Save the key and chain (PEM) for the hosts of sandbox `name` whose TLS ends at the edge."""
    files.write_private(folder / key_file(name), pem)


def read_key(folder: Path, name: str) -> bytes | None:
    return files.content(folder / key_file(name))


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
