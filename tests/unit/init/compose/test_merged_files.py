"""Several compose files as one: overrides, included files, extended services, and the variables in them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import UsageError
from sandbox.init.compose import merged_files, variables
from sandbox.init.compose.merge import merged
from sandbox.init.compose.variables import Variables
from tests.support.project_folder import write


def load(folder: Path, *files: str, **values: str) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    sections = merged_files.load(folder, files or ("compose.yaml",), Variables(values), notes)
    return sections["services"], notes


@pytest.mark.parametrize(
    ("key", "base", "over", "result"),
    [
        ("image", "a", "b", "b"),
        ("image", "a", None, "a"),
        ("command", ["a"], ["b"], ["b"]),
        ("ports", ["80:80"], ["80:80", "81:81"], ["80:80", "81:81"]),
        ("environment", ["A=1", "B"], {"A": "2"}, {"A": "2", "B": None}),
        ("depends_on", ["a"], {"b": {"condition": "x"}}, {"a": None, "b": {"condition": "x"}}),
        ("env_file", "a.env", ["b.env"], ["a.env", "b.env"]),
        ("volumes", ["a:/x", "b:/y"], [{"source": "c", "target": "/x"}], [{"source": "c", "target": "/x"}, "b:/y"]),
        ("build", "web", {"target": "dev"}, {"context": "web", "target": "dev"}),
        ("healthcheck", {"test": ["A"], "retries": 1}, {"test": ["B"]}, {"test": ["B"], "retries": 1}),
    ],
)
def test_settings_are_merged_as_compose_does(key: str, base: Any, over: Any, result: Any) -> None:
    assert merged(base, over, key) == result


INCLUDED = """\
services:
  db:
    build: {context: db}
    env_file: .env
    volumes: ["./data:/data", {type: bind, source: ./x, target: /x}, "named:/y"]
    develop: {watch: [{path: ./src, action: rebuild}]}
secrets: {key: {file: ./key.txt}}
"""


def test_paths_of_included_files_are_from_their_folders(tmp_path: Path) -> None:
    write(tmp_path, {"compose.yaml": "include: [db/compose.yaml]\nservices: {}", "db/compose.yaml": INCLUDED})
    assert load(tmp_path)[0]["db"] == {
        "build": {"context": "db/db"},
        "env_file": ["db/.env"],
        "volumes": ["./db/data:/data", {"type": "bind", "source": "./db/x", "target": "/x"}, "named:/y"],
        "develop": {"watch": [{"path": "db/src", "action": "rebuild"}]},
    }
    write(tmp_path, {"compose.yaml": "include: [{path: [db/compose.yaml, none.yaml]}]"})
    services, notes = load(tmp_path)
    assert list(services) == ["db"] and notes == ["none.yaml is left out: it is not in this folder"]


def test_included_file_has_the_variables_of_its_own_folder(tmp_path: Path) -> None:
    texts = {"a/compose.yaml": "services: {a: {image: 'a:$V'}}", "b/compose.yaml": "services: {b: {image: 'b:$V'}}"}
    write(tmp_path, {**texts, "a/.env": "V=1", "b/.env": "V=2", "b.env": "V=3"})
    write(tmp_path, {"compose.yaml": "include: [a/compose.yaml, {path: b/compose.yaml, env_file: b.env}]"})
    assert load(tmp_path)[0] == {"a": {"image": "a:1"}, "b": {"image": "b:3"}}


def test_services_extend_others(tmp_path: Path) -> None:
    text = """\
services:
  base: {image: x, environment: {A: 1}}
  web: {extends: base, environment: {B: 2}}
  api: {extends: {service: base, file: lib/common.yaml}, command: run}
  lost: {extends: none, image: y}
"""
    common = "services: {base: {build: ., extends: more}, more: {user: '1'}}"
    write(tmp_path, {"compose.yaml": text, "lib/common.yaml": common})
    services, notes = load(tmp_path)
    assert services["web"] == {"image": "x", "environment": {"A": 1, "B": 2}}
    assert services["api"] == {"build": {"context": "lib"}, "user": "1", "command": "run"}
    assert services["lost"] == {"image": "y"}
    assert notes == ["the service none, which lost extends, is not found"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: [", "not valid YAML: did not find expected"),
        ("- a", "has no services"),
        ("services: {a: {image: x}, a: {image: y}}", "compose.yaml:1: key 'a' is given twice"),
        ("services: {a: {image: !reset x}}", "compose.yaml:1: the tag '!reset' is not allowed"),
        ("include: compose.yaml", "in a circle"),
        ("services: {a: {extends: b}, b: {extends: a}}", "extends itself"),
    ],
)
def test_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, {"compose.yaml": text})
    with pytest.raises(UsageError, match=message) as caught:
        load(tmp_path)
    assert caught.value.fix


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
