"""Remembers the digests of recipes, which name a sandbox's own images.

To read all that goes into a node image, and to hash it, takes longer than any check of a `status`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox.bundle.recipe import FORMAT, RECIPES, recipes
from sandbox.errors import SandboxError
from sandbox.system import files


@contextmanager
def known(file: Path) -> Iterator[None]:
    """Take digests from `file` unless a recipe has changed since, and record there what the block asks for besides."""
    state = _state(RECIPES)
    before = _recorded(file, state)
    recipes().assume(before)
    yield
    found = {**before, **recipes().digests}
    if found != before and file.parent.is_dir():
        with suppress(SandboxError):  # no space, or another user's folder: they are computed again
            files.write_atomic(file, json.dumps({"state": state, "digests": found}).encode(), mode=0o644)


def _recorded(file: Path, state: str) -> Mapping[str, str]:
    try:
        found = files.read_json(file)
        return {str(name): str(one) for name, one in found["digests"].items()} if found["state"] == state else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _state(folder: Path) -> str:
    """Return what is another after any change of a file: an installation may set mtime, but never ctime (inode(7))."""
    summed = hashlib.sha256(f"{FORMAT} {folder}".encode())
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = f"{place}/{name}"
            found = os.stat(path)  # noqa: PTH116  # a Path takes twice as long
            summed.update(f"{path} {found.st_mode} {found.st_size} {found.st_ctime_ns}\0".encode())
    return summed.hexdigest()
