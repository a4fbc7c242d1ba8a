"""Routes that people add with a command, each a file that no `up` touches: hosts that lead out of the cluster."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sandbox.components.edge.routes import READABLE, Host, Route
from sandbox.errors import SandboxError
from sandbox.system import files


@dataclass(frozen=True)
class ByHand:
    """`host` ends at the edge with a certificate of `sandbox`'s authority and goes on to `to` (HOST:PORT, HTTP)."""

    host: str
    sandbox: str
    to: str


def load(folder: Path) -> tuple[ByHand, ...]:
    """Return every such route in the edge's folder, by host. Raises SandboxError for a file that is not one."""
    found = []
    for path in sorted(folder.glob("routes/by-hand/*.json")):
        try:
            found.append(ByHand(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            raise SandboxError(f"{path} is not a route", details=str(error), fix=f"rm {path}", id="route") from error
    return tuple(found)


def save(folder: Path, route: ByHand) -> None:
    """Add or replace the route of one host."""
    place = folder / "routes" / "by-hand"
    place.mkdir(parents=True, exist_ok=True)
    files.write_atomic(place / f"{route.host}.json", json.dumps(asdict(route)).encode(), mode=READABLE)


def remove(folder: Path, host: str) -> bool:
    """Forget the route of one host; returns whether there was one."""
    path = folder / "routes" / "by-hand" / f"{host}.json"
    known = path.exists()
    path.unlink(missing_ok=True)
    return known


def hosts(found: Sequence[ByHand], sandbox: str) -> tuple[Host, ...]:
    """Return what was added for one sandbox."""
    return tuple(Host(one.host, terminate=True, to=one.to) for one in found if one.sandbox == sandbox)


def merged(routes: Sequence[Route], found: Sequence[ByHand]) -> tuple[Route, ...]:
    """Return the sandboxes' routes with what was added by hand, which goes before what a spec says of the same host."""
    result = []
    for route in routes:
        added = hosts(found, route.name)
        kept = tuple(host for host in route.hosts if host.host not in {one.host for one in added})
        result.append(replace(route, hosts=(*kept, *added)))
    return tuple(result)


def ending(spec: Sequence[Host], found: Sequence[ByHand], sandbox: str, aliases: Sequence[str] = ()) -> tuple[str, ...]:
    """List the names that end at the edge: a sandbox's hosts, of its spec and added by hand, and its aliases' hosts."""
    exact = {host.host for host in (*spec, *hosts(found, sandbox)) if host.terminate}
    return tuple(sorted(exact | {name for alias in aliases for name in (alias, f"*.{alias}")}))


def leaving(spec: Sequence[Host], found: Sequence[ByHand], sandbox: str) -> tuple[str, ...]:
    """Return the names of a sandbox's hosts that lead out of its cluster, those of its spec and those added by hand."""
    return tuple(sorted({host.host for host in (*spec, *hosts(found, sandbox)) if host.to}))
