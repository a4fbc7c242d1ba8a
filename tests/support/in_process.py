"""Runs commands of the command line in the process of a test."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from sandbox.cli import log, signals


def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "start", lambda **_: None)
    monkeypatch.setattr(signals, "catch", lambda *_, **__: None)


def run(command: click.Command, *arguments: str | Path, typed: str | None = None) -> Result:
    """Return the command's result; an error that people would see is raised."""
    result = CliRunner().invoke(command, [str(one) for one in arguments], obj=False, input=typed, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result
