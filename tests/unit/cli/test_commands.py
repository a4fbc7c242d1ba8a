"""What can be typed is known without what carries it out, so that help and completion are there at once."""

from __future__ import annotations

import subprocess
import sys

from sandbox.cli.commands import certs_export, config_schema
from sandbox.cli.config_schema import SCHEMAS
from sandbox.components.certificates.export_formats import FORMATS
from tests.unit.cli.test_main import HEAVY

# Imports every command there is, and says what came along.
LOOK = """
import importlib, pkgutil, sys
from sandbox.cli import commands
for one in pkgutil.iter_modules(commands.__path__):
    importlib.import_module(f"sandbox.cli.commands.{one.name}")
print(*sys.modules)
"""


def test_no_command_imports_what_it_needs_only_when_it_is_called() -> None:
    argv = [sys.executable, "-c", LOOK]
    found = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120).stdout.split()
    assert "sandbox.cli.commands.up" in found
    assert not {*HEAVY, "sandbox.config.schema", "sandbox.components", "sandbox.engine", "sandbox.system"}.intersection(
        found
    )


def test_choices_that_are_written_out_are_those_there_are() -> None:
    choices = {
        tuple(FORMATS): certs_export.command.params,
        tuple(SCHEMAS): config_schema.command.params,
    }
    for there, params in choices.items():
        assert any(set(getattr(one.type, "choices", ())) == set(there) for one in params)
