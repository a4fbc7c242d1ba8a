"""The command line: one file for each command or group of commands, over `sandbox.app`."""

from sandbox.cli.app import main

__all__ = ["main"]
