"""Records what the user agreed to of projects that others wrote, for one commit or one bundle each."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from sandbox.config.schema.origin_schema import Origin
from sandbox.names import Home
from sandbox.plan import saved_spec
from sandbox.system import files

COMPONENTS = "components "


def has_spec(home: Home, origin: Origin) -> bool:
    """Tell whether the user agreed to what the spec of this revision asks for."""
    return _file(home, origin.key).exists()


def note_spec(home: Home, origin: Origin) -> None:
    """Record that the user agreed to the spec of this revision."""
    _note(home, origin.key)


def sweep(home: Home) -> None:
    """Forget agreements to specs that no sandbox is up from, whichever revision they were for."""
    used = tuple(known.source_key for names in home.known() if (known := saved_spec.origin(names)))
    for file in home.agreed.glob("*"):
        with suppress(FileNotFoundError):  # another command sweeps as well
            if not file.read_text(encoding="utf-8", errors="replace").startswith((COMPONENTS, *used)):
                file.unlink()
    files.remove_empty(home.agreed)


def has_components(home: Home, identity: str) -> bool:
    """Tell whether the user agreed that programs and images of the bundle with this identity run on this machine."""
    return _file(home, _components(identity)).exists()


def note_components(home: Home, identity: str) -> None:
    """Record that the user agreed to them."""
    _note(home, _components(identity))


def _components(identity: str) -> str:
    return f"{COMPONENTS}{identity}"


def _note(home: Home, what: str) -> None:
    files.write_private(_file(home, what), f"{what}\n".encode())


def _file(home: Home, what: str) -> Path:
    return home.agreed / hashlib.sha256(what.encode()).hexdigest()
