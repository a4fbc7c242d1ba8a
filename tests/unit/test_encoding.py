"""Text is UTF-8 in every locale: what is read and written, and what programs say."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.errors import MissingTool
from sandbox.system import process
from tests.support.sources import calls

ROOT = Path(__file__).parents[2]


def is_undecided(node: ast.Call, called: str) -> bool:
    """Whether a call leaves it to the locale which bytes a text is."""
    given = {one.arg for one in node.keywords}
    if "encoding" in given:
        return False
    match called.rpartition(".")[2]:
        case "read_text":
            return not node.args
        case "write_text":
            return True
        case "open" | "fdopen" if called != "tarfile.open":
            values = [*node.args, *(one.value for one in node.keywords if one.arg == "mode")]
            words = [str(one.value) for one in values if isinstance(one, ast.Constant)]
            modes = [word for word in words if set(word) <= set("rwaxb+t")]
            is_text = modes or called in ("open", "os.fdopen") or not node.args  # else it opens something else
            return bool(is_text) and not any("b" in mode for mode in modes)
        case "Popen" | "run":
            return "text" in given
    return False


@pytest.mark.fault(53)
def test_every_text_file_names_its_encoding() -> None:
    """The locale is ISO 8859-1 → no file is read or written by it."""
    assert [f"{path}:{node.lineno}" for path, node, called in calls() if is_undecided(node, called)] == []


LOCALE = "sandbox_test.ISO-8859-1"
LOAD = """
import locale, sys
from pathlib import Path
from sandbox.kube import manifests
from sandbox.errors import MissingTool
from sandbox.system import process
assert locale.getpreferredencoding(False) == "ISO-8859-1", locale.getpreferredencoding(False)
objects = manifests.load([Path(sys.argv[1])])
print(ascii(objects[0]["data"]["town"]))
print(ascii(process.run(["cat", sys.argv[1]], timeout=30).split()[-1]))
"""


@pytest.fixture
def latin(tmp_path: Path) -> dict[str, str]:
    """An environment whose locale has ISO 8859-1, made for this test alone."""
    try:
        process.run(["localedef", "-i", "POSIX", "-f", "ISO-8859-1", str(tmp_path / LOCALE)], timeout=60)
    except MissingTool:
        pytest.skip("localedef is not installed")
    except process.ToolFailed as error:  # a warning is a status of 1
        if not (tmp_path / LOCALE).exists():
            pytest.skip(f"this machine has no sources of locales: {error.details}")
    return {**os.environ, "LOCPATH": str(tmp_path), "LC_ALL": LOCALE, "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)}


@pytest.mark.fault(53)
def test_a_manifest_is_read_alike_in_a_latin_locale(tmp_path: Path, latin: dict[str, str]) -> None:
    """The locale is ISO 8859-1, and a manifest says Zürich → it is applied as Zürich."""
    manifest = tmp_path / "town.yaml"
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: town}\ndata:\n  town: Zürich\n"
    manifest.write_text(text, encoding="utf-8")
    argv = [sys.executable, "-c", LOAD, str(manifest)]
    done = subprocess.run(argv, env=latin, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["'Z\\xfcrich'", "'Z\\xfcrich'"], done.stderr
