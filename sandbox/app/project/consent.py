"""Records the revisions of projects from elsewhere that the user trusts: one file each in the state folder."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from sandbox.config.schema.origin_schema import Origin
from sandbox.names import Home
from sandbox.plan import saved_spec
from sandbox.system import files


def has(home: Home, origin: Origin) -> bool:
    """Return whether the user trusts this revision: a commit, or the identity of a bundle."""
    return _file(home, origin).exists()


def note(home: Home, origin: Origin) -> None:
    files.write_private(_file(home, origin), f"{origin.key}\n".encode())


def sweep(home: Home) -> None:
    """Forget the revisions of sources that no sandbox is up from."""
    used = tuple(origin.source_key for names in home.known() if (origin := saved_spec.origin(names)))
    for file in home.agreed.glob("*"):
        with suppress(FileNotFoundError):  # another command sweeps too
            if not file.read_text(encoding="utf-8", errors="replace").startswith(used):
                file.unlink()
    files.remove_empty(home.agreed)


def _file(home: Home, origin: Origin) -> Path:
    return home.agreed / hashlib.sha256(origin.key.encode()).hexdigest()
