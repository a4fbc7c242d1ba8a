"""The edge's folder: its files follow the routes, and a note tells which of them HAProxy has taken in."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sandbox.components.edge import haproxy
from sandbox.components.edge.routes import READABLE, Route, load_added, merged
from sandbox.components.network import socket_handover
from sandbox.engine import Placed
from sandbox.system import files

PRIVATE = 0o600
PATIENCE = 120.0  # seconds; anyone who makes the edge again may have to try several ways


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep all others from the edge, its folder and its ports meanwhile. Raises SandboxError when they do not end."""
    folder.mkdir(parents=True, exist_ok=True)
    with files.exclusive(folder, seconds=PATIENCE):
        files.sweep_below(folder)  # there may be keys among what a killed command left
        yield


def rendered(folder: Path, routes: Sequence[Route]) -> Mapping[str, str]:
    """Return the files for `routes` and for what was added by hand in `folder`."""
    controlled = (folder / haproxy.CONTROL_KEY).exists()
    return haproxy.render(merged(routes, load_added(folder)), socket_handover.held(folder), controlled=controlled)


def is_current(folder: Path, routes: Sequence[Route]) -> bool:
    """Tell whether the files on disk are those for `routes`, and were taken in."""
    wanted = rendered(folder, routes)
    return all(_read(folder / name) == text for name, text in wanted.items()) and taken(folder) == marks(folder)


def write(folder: Path, routes: Sequence[Route], owner: tuple[int, int] | None = None) -> None:
    """Write the files for `routes`; `owner` is the user who makes the socket, if not this user."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for private in (folder / "keys", folder / "run"):
        files.make_private_dir(private)
    if owner:
        os.chown(folder / "run", *owner)
    for name, text in rendered(folder, routes).items():
        files.write_atomic(folder / name, text.encode(), mode=READABLE)
    kept = {route.name for route in merged(routes, load_added(folder)) if route.terminates}
    kept.add(Path(haproxy.CONTROL_KEY).stem)
    for key in (folder / "keys").glob("*.pem"):
        if key.stem not in kept:
            key.unlink()


def save_key(folder: Path, name: str, pem: bytes) -> None:
    """Keep what the hosts of sandbox `name` that end at the edge are served with: key and chain (PEM)."""
    files.make_private_dir(folder / "keys")
    files.write_atomic(folder / "keys" / f"{name}.pem", pem, mode=PRIVATE)


def read_key(folder: Path, name: str) -> bytes | None:
    """Return what `save_key` kept."""
    try:
        return (folder / "keys" / f"{name}.pem").read_bytes()
    except OSError:
        return None


def marks(folder: Path) -> Mapping[str, str]:
    """Return a mark of the content of each file that HAProxy reads, by its name in `folder`."""
    names = [*haproxy.CONFIGURATION, *haproxy.MAPS, *(f"keys/{key.name}" for key in (folder / "keys").glob("*.pem"))]
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names if (folder / name).exists()
    }


def placed(folder: Path, names: Iterable[str], group: int) -> Mapping[str, Placed]:
    """Return files of the folder as a container gets them: only its group, which the server has, may read the keys.

    Of one that is no more the content goes.
    """
    found = {"keys": Placed(None, 0o750, (0, group))}
    for name in sorted(names):
        path = folder / name
        data = path.read_bytes() if path.exists() else b""
        found[name] = Placed(data, 0o640, (0, group)) if name.startswith("keys/") else Placed(data, READABLE)
    return found


def taken(folder: Path) -> Mapping[str, str]:
    """Return the marks of what HAProxy has taken in; none when that is not known."""
    try:
        content = json.loads((folder / "taken.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def note_taken(folder: Path) -> None:
    """Say that HAProxy has taken in the files as they are now."""
    files.write_atomic(folder / "taken.json", json.dumps(marks(folder)).encode(), mode=READABLE)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None
