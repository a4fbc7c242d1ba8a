"""Variables of compose files and of their env files."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sandbox.init.compose import variables
from sandbox.init.compose.variables import Variables
from tests.support.project_folder import write


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$A ${A} $$A", "1 1 $A"),
        ("${B-x} ${B:-x} ${E-x} ${E:-x}", "x x  x"),
        ("${A+x} ${E+x} ${E:+x} ${B+x}", "x x  "),
        ("${B:-${C:-$A}}", "1"),
        ('${B:-{"a": {}}}', '{"a": {}}'),
        ("${A?needed} ${B:?needed}", "1 "),
        ("${A", "${A"),
    ],
)
def test_variable_has_its_value_or_default(text: str, filled: str) -> None:
    known = Variables({"A": "1", "E": ""})
    assert known.filled({"x": [text]}) == {"x": [filled]}
    assert known.unset == ({"B"} if text.startswith("${A?") else set())


ENV = """\
# a comment
A=1 # another
export B = two words
C='single $A \\' quotes'
D="double ${A}\\n\\$A
line two"
E=$A-${F:-f}
G
H=
I: yaml
"""


def test_env_file_is_read_as_compose_does(tmp_path: Path) -> None:
    write(tmp_path, {".env": ENV})
    assert variables.of_files(".env", tmp_path, Variables({"F": "known"})) == {
        "A": "1",
        "B": "two words",
        "C": "single $A ' quotes",
        "D": "double 1\n$A\nline two",
        "E": "1-known",
        "G": None,
        "H": "",
        "I": "yaml",
    }


def test_only_files_of_the_project_are_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(tmp_path, {"other.env": "A=1\n", "root/own.env": "B=2\n"})
    (root / "link.env").symlink_to(tmp_path / "other.env")
    settings = ["../other.env", "link.env", {"path": "own.env"}, {"path": "optional.env", "required": False}]
    assert variables.of_files(settings, root, Variables()) == {"B": "2"}
    assert list(variables.absent(settings, root)) == ["../other.env", "link.env"]


@pytest.mark.fault(43)
@pytest.mark.parametrize("text", ["${A:-" * 50_000, "A" * 100_000 + "=", "A='" + "\\'" * 50_000, "A= " + " #" * 50_000])
def test_long_text_is_read_at_once(tmp_path: Path, text: str) -> None:
    """A `.env` with a line of 100 kB, or variables nested 50,000 times → read at once by init."""
    start = time.process_time()
    Variables().filled(text)
    variables.of_files(".env", write(tmp_path, {".env": text}), Variables())
    assert time.process_time() - start < 5.0
