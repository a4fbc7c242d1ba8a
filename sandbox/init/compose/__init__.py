"""Reads compose files (the Compose Specification); other packages use only `load` and `FILES`."""

from sandbox.init.compose.project import FILES, load

__all__ = ["FILES", "load"]
