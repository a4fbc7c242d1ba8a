"""Reads compose files (the Compose Specification), and what DDEV makes one of; others use only what is named here."""

from sandbox.init.compose.ddev import FILE as DDEV
from sandbox.init.compose.ddev import load as load_ddev
from sandbox.init.compose.project import FILES, load

__all__ = ["DDEV", "FILES", "load", "load_ddev"]
