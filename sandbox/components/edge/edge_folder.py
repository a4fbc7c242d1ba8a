"""The edge's folder: routes, keys, and a record of the configuration that HAProxy has loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from sandbox.components.edge import haproxy, listening
from sandbox.components.edge.listening import Place
from sandbox.components.edge.routes import load, load_registries
from sandbox.engine import Bind
from sandbox.system import files

RECORD = "loaded.json"
PATIENCE = 120.0  # seconds; recreating the edge may take several attempts


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock the edge, its folder and its ports for the block. Raises SandboxError if another command keeps the lock."""
    with files.exclusive(folder, seconds=PATIENCE):
        files.sweep_below(folder)  # a killed command may have left keys there
        yield


def content(folder: Path, place: Place) -> Mapping[str, bytes]:
    routes = load(folder)
    keys = {key_file(route.name): read_key(folder, route.name) or b"" for route in routes if route.ending}
    texts = haproxy.render(routes, load_registries(folder), place)
    return {**{name: text.encode() for name, text in texts.items()}, **keys}


def frontends(folder: Path, place: Place) -> Mapping[str, tuple[Bind, ...]]:
    return listening.frontends(load(folder), load_registries(folder), place)


def binds(folder: Path, place: Place) -> frozenset[Bind]:
    return frozenset(chain.from_iterable(frontends(folder, place).values()))


def is_current(folder: Path, place: Place) -> bool:
    return _record(folder).get("digest") == _digest(content(folder, place))


def loaded_binds(folder: Path) -> frozenset[Bind]:
    return frozenset(Bind(str(address), int(port)) for address, port in _record(folder).get("binds", ()))


def note_loaded(folder: Path, place: Place) -> None:
    ports = sorted((bind.address, bind.port) for bind in binds(folder, place))
    record = {"digest": _digest(content(folder, place)), "binds": ports}
    files.write_private(folder / RECORD, json.dumps(record).encode())


def key_file(name: str) -> str:
    return f"keys/{name}.pem"


def save_key(folder: Path, name: str, pem: bytes) -> None:
    """Save the key and chain (PEM) for the hosts of sandbox `name` whose TLS ends at the edge."""
    files.write_private(folder / key_file(name), pem)


def read_key(folder: Path, name: str) -> bytes | None:
    return files.content(folder / key_file(name))


def _record(folder: Path) -> dict[str, Any]:
    try:
        return dict(files.read_json(folder / RECORD))
    except (OSError, ValueError, TypeError):  # absent or damaged: HAProxy then loads its configuration again
        return {}


def _digest(content: Mapping[str, bytes]) -> str:
    return hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()
