"""Remembers documents that were valid, so that the next command neither checks them nor imports pydantic for it."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Callable
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, Protocol, TypeVar

from sandbox.config.model import Model

# What models and their values are checked by: once any of it has changed, what was valid is checked again.
_PACKAGES = tuple(Path(__file__).parents[1] / name for name in ("config", "config/schema", "images", "oci"))


class Memory(Protocol):
    """What remembers data by name, for this user only."""

    def read(self, name: str) -> bytes | None:
        """Return the data, if it is remembered."""

    def write(self, name: str, data: bytes) -> None:
        """Remember data if possible."""


_memory: Memory | None = None

M = TypeVar("M")


def remember(memory: Memory | None) -> None:
    """Remember documents there from now on, or nowhere."""
    global _memory  # the user's, who stays the same while a command runs
    _memory = memory


def checked(model: type[M], text: str, check: Callable[[str], M]) -> M:
    """Return the document that is written as JSON in `text`, as `check` returned it before or does now.

    One that may hold a password is not remembered.
    """
    if _memory is None or not issubclass(model, Model) or ("://" in text and "@" in text):
        return check(text)
    home = os.path.expanduser("~")  # noqa: PTH111  # which paths of a document may begin with; there may be none
    name = hashlib.sha256(f"{_state()} {home} {model.__qualname__} {text}".encode()).hexdigest()
    known = _memory.read(name)
    found = _read(known) if known else None
    if type(found) is model:
        return found
    found = check(text)
    _memory.write(name, pickle.dumps(found))
    return found


class _Reader(pickle.Unpickler):
    """Makes nothing but models and their values, whatever the data is (pickle, "Restricting Globals")."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name) if module.startswith(("sandbox.", "pathlib")) else None
        if isinstance(found, type) and issubclass(found, Model | Enum | PurePath):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is no value of a document")


def _read(data: bytes) -> Any:
    try:
        return _Reader(io.BytesIO(data)).load()
    except Exception:  # damaged data raises any error
        return None


def _state() -> str:
    """Return what is another after any change of the program: an installation may set mtime, but never ctime."""
    said = []
    for folder in _PACKAGES:
        with os.scandir(folder) as entries:
            found = ((one.path, one.stat()) for one in entries if one.name.endswith(".py"))
            said += [f"{path} {stat.st_size} {stat.st_ctime_ns}" for path, stat in found]
    return " ".join(sorted(said))
