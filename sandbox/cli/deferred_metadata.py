"""A stand-in for `importlib.metadata`, which pydantic imports and, without plugins, never uses.

With the packages for mail and archives that it needs, its import takes a tenth of pydantic's (plugin/_loader.py there).
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

NAME = "importlib.metadata"


class _Deferred(ModuleType):
    """Becomes the real module when anything but `entry_points`, or that function's result, is asked of it."""

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__, self.__path__ = spec, spec.submodule_search_locations or []

    def __getattr__(self, name: str) -> Any:
        return _entry_points if name == "entry_points" else getattr(_real(), name)


def defer() -> None:
    """Put the stand-in in the module's place, unless it is imported already."""
    if NAME not in sys.modules and (spec := PathFinder.find_spec(NAME, importlib.__path__)):
        sys.modules[NAME] = importlib.metadata = _Deferred(spec)


def _entry_points(**parameters: Any) -> Any:
    return _real().entry_points(**parameters)


def _real() -> Any:
    if isinstance(sys.modules.get(NAME), _Deferred):
        del sys.modules[NAME]
    return importlib.import_module(NAME)
