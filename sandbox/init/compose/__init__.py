"""Reads compose files (the Compose Specification); others use only what is named here."""

from sandbox.init.compose.project import FILES, load

__all__ = ["FILES", "load"]
