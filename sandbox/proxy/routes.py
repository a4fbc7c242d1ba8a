"""The routes the edge knows, one file per sandbox: which domain leads to which node."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.host import files

READABLE = 0o644  # the edge's container runs as somebody else


@dataclass(frozen=True)
class Route:
    """A sandbox's way through the edge: `domain` and every host below it go to `upstream`:443, TLS untouched.

    `listen` are the addresses and ports of this machine that the sandbox asked for. `since` is when the route was
    made, in seconds since 1970: unknown hosts get the newest sandbox's page.
    """

    name: str
    domain: str
    upstream: str
    listen: tuple[tuple[str, int], ...]
    since: float


def load(folder: Path) -> tuple[Route, ...]:
    """Every route in the edge's folder, oldest first. Raises SandboxError for a file that is not a route."""
    routes = []
    for path in sorted(folder.glob("routes/*.json")):
        try:
            content = json.loads(path.read_text())
            listen = tuple((str(address), int(port)) for address, port in content.pop("listen"))
            routes.append(Route(**content, listen=listen))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise SandboxError(f"{path} is not a route", details=str(error), fix=f"rm {path}", id="route") from error
    return tuple(sorted(routes, key=lambda route: (route.since, route.name)))


def save(folder: Path, route: Route) -> None:
    """Add or replace one sandbox's route."""
    place = folder / "routes"
    place.mkdir(parents=True, exist_ok=True)
    files.write_atomic(place / f"{route.name}.json", json.dumps(asdict(route)).encode(), mode=READABLE)


def remove(folder: Path, name: str) -> bool:
    """Forget one sandbox's route; returns whether there was one."""
    path = folder / "routes" / f"{name}.json"
    known = path.exists()
    path.unlink(missing_ok=True)
    return known


def find(routes: Sequence[Route], name: str) -> Route | None:
    """The route of one sandbox."""
    return next((route for route in routes if route.name == name), None)
