"""A command imports the packages' metadata only when something asks for them."""

from __future__ import annotations

import subprocess
import sys

BEGIN = """
import sys
from sandbox.cli import deferred_metadata
deferred_metadata.defer()
def real(): return "email" in sys.modules
"""


def run(code: str) -> str:
    """The output of `code` after the stand-in took its place, in a Python of its own."""
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_metadata_stay_unread_while_models_are_made() -> None:
    models = "import os; os.environ['PYDANTIC_DISABLE_PLUGINS'] = '1'; from sandbox.config.schema import Spec"
    assert run(models + "; Spec(); print(real())") == "False"


def test_metadata_are_the_real_ones_when_asked_for() -> None:
    asked = (
        "import importlib.metadata as m; print(real(), m.version('click') == m.distribution('click').version, real())"
    )
    assert run(asked) == "False True True"
    assert run("from importlib import metadata; print(metadata.version('click') > '8', real())") == "True True"
    assert run("import importlib.metadata._functools as f; print(f.__name__)") == "importlib.metadata._functools"
    found = "from importlib.util import find_spec; print(find_spec('importlib.metadata').name, real())"
    assert run(found) == "importlib.metadata False"


def test_entry_points_are_found_where_they_are_called() -> None:
    asked = "from importlib.metadata import entry_points; print(real(), len(entry_points(group='console_scripts')) > 1)"
    assert run(asked) == "False True"


def test_metadata_that_are_imported_already_stay() -> None:
    first = "import importlib.metadata; importlib.metadata.version; here = sys.modules['importlib.metadata']"
    again = "deferred_metadata.defer(); print(sys.modules['importlib.metadata'] is here, type(here).__name__)"
    assert run(f"{first}; {again}") == "True module"
