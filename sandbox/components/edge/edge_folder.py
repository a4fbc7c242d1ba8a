"""The edge's folder: files made from the routes, and a record of what HAProxy has loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sandbox.components.edge import haproxy
from sandbox.components.edge.haproxy import Place
from sandbox.components.edge.routes import READABLE, load, load_added, load_registries, merged
from sandbox.engine import Placed
from sandbox.system import files

PRIVATE = 0o600
PATIENCE = 120.0  # seconds; recreating the edge may take several attempts


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock the edge, its folder and its ports for the block. Raises SandboxError if another command keeps the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    with files.exclusive(folder, seconds=PATIENCE):
        files.sweep_below(folder)  # a killed command may have left keys there
        yield


def rendered(folder: Path, place: Place) -> Mapping[str, str]:
    return haproxy.render(merged(load(folder), load_added(folder)), load_registries(folder), place)


def is_current(folder: Path, place: Place) -> bool:
    """Tell whether HAProxy has loaded the files for the present routes, with the further addresses or without."""
    if taken(folder) != marks(folder):
        return False
    return any(_has(folder, rendered(folder, replace(place, also=also))) for also in (True, False))


def _has(folder: Path, wanted: Mapping[str, str]) -> bool:
    return all(files.content(folder / name) == text.encode() for name, text in wanted.items())


def write(folder: Path, place: Place) -> None:
    """Write the files for the routes."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    files.make_private_dir(folder / "keys")
    # The container's root is in the user's group; the folder above keeps others out.
    (folder / "run").mkdir(mode=0o770, exist_ok=True)
    (folder / "run").chmod(0o770)
    for name, text in rendered(folder, place).items():
        files.write_atomic(folder / name, text.encode(), mode=READABLE)
    kept = {route.name for route in merged(load(folder), load_added(folder)) if route.terminates}
    for key in (folder / "keys").glob("*.pem"):
        if key.stem not in kept:
            key.unlink()


def save_key(folder: Path, name: str, pem: bytes) -> None:
    """Save the key and chain (PEM) for the hosts of sandbox `name` whose TLS ends at the edge."""
    files.make_private_dir(folder / "keys")
    files.write_atomic(folder / "keys" / f"{name}.pem", pem, mode=PRIVATE)


def read_key(folder: Path, name: str) -> bytes | None:
    return files.content(folder / "keys" / f"{name}.pem")


def marks(folder: Path) -> Mapping[str, str]:
    """Return a digest of each file that HAProxy reads, by its name in `folder`."""
    names = [*haproxy.CONFIGURATION, *haproxy.MAPS, *(f"keys/{key.name}" for key in (folder / "keys").glob("*.pem"))]
    return {
        name: hashlib.sha256(data).hexdigest() for name in names if (data := files.content(folder / name)) is not None
    }


def placed(folder: Path, names: Iterable[str], group: int) -> Mapping[str, Placed]:
    """Return files of the folder as they are copied to a container: only its group may read the keys.

    A file that does not exist any more is emptied.
    """
    copies = {"keys": Placed(None, 0o750, (0, group))}
    for name in sorted(names):
        path = folder / name
        data = path.read_bytes() if path.exists() else b""
        copies[name] = Placed(data, 0o640, (0, group)) if name.startswith("keys/") else Placed(data, READABLE)
    return copies


def taken(folder: Path) -> Mapping[str, str]:
    """Return the digests of what HAProxy has loaded; none when that is not known."""
    try:
        content = files.read_json(folder / "taken.json")
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def note_taken(folder: Path) -> None:
    """Record that HAProxy has loaded the present files."""
    files.write_atomic(folder / "taken.json", json.dumps(marks(folder)).encode(), mode=READABLE)
