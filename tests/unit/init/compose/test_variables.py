"""Variables of a compose file have the values that compose gives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.project_folder import apps, load, look, write


def test_lines_of_a_file_of_variables_are_read_as_by_compose(tmp_path: Path) -> None:
    lines = [
        "# no",
        'export A="a#b" # comment',
        "B=plain text  # comment",
        "C = blanks ",
        "D='$literal'",
        r'E="two\nlines\"$A"',
        "F=a#b",
        "G=",
        "H= # no comment",
        "I=${B}/${NONE}",
        "J=${B}/x",
        "no variable",
        "K: by a colon\r",
        "L='-----BEGIN-----\nx=1\n-----END-----'\r",
        'M="two\n lines" # comment',
        "N='open",
        "O=after",
        "P=#f00",
        r"Q='it\'s C:\dir' # comment",
        r'R="\d \$A \\ \v"#comment',
        "S=tab\t# and more",
        'T={"a": "${A:-{}}"}',
    ]
    found = apps(tmp_path, compose_yaml="services: {web: {image: x, env_file: a.env}}", **{"a.env": "\n".join(lines)})
    assert found["web"].environment == {
        **{"A": "a#b", "B": "plain text", "C": "blanks", "D": "$literal", "E": 'two\nlines"a#b'},
        **{"F": "a#b", "G": "", "H": "# no comment", "J": "plain text/x", "K": "by a colon"},
        **{"L": "-----BEGIN-----\nx=1\n-----END-----", "M": "two\n lines", "O": "after"},
        **{"P": "#f00", "Q": r"it's C:\dir", "R": "\\d $A \\ \v", "S": "tab\t# and more", "T": '{"a": "a#b"}'},
    }
    assert found["web"].left_out == ("environment.I",)


def test_variables_of_the_project_go_before_those_of_a_file(tmp_path: Path) -> None:
    """Then come those of the service, where a value of `env_file` names them (compose-go, types/project.go)."""
    text = "services: {web: {image: x, env_file: a.env, environment: {B: own, C: own}}}"
    files = {".env": "A=project\nC=project\n", "a.env": "A=file\nB=file\nD=file\nE=$A-$B-$C-$D\n"}
    found = apps(tmp_path, compose_yaml=text, **files)
    assert found["web"].environment == {
        **{"A": "file", "B": "own", "C": "own", "D": "file"},
        "E": "project-own-project-file",
    }


def test_raw_file_of_variables_is_taken_as_it_is(tmp_path: Path) -> None:
    """Compose 2.30 has `format: raw`, as `docker run --env-file` reads it."""
    lines = ["# no", "", "A='q' # $X", ' B="${Y}"', "C=", "D", "NONE"]
    service = "{image: x, env_file: [{path: a.env, format: raw}, {path: b.env, required: false}]}"
    (tmp_path / ".env").write_text("D=d\n")
    found = apps(tmp_path, compose_yaml=f"services: {{web: {service}}}", **{"a.env": "\n".join(lines)})["web"]
    assert found.environment == {"A": "'q' # $X", "B": '"${Y}"', "C": "", "D": "d"}
    assert found.left_out == ("environment.NONE",)


def test_variable_without_a_value_takes_that_of_the_project(tmp_path: Path) -> None:
    """A name alone, in `env_file` or `environment`, is that of `.env`, and else of the shell, which `init` leaves."""
    text = "services: {web: {image: x, env_file: a.env, environment: [E, F, 'G=${SHELL}']}}"
    lines = "A\nB # comment\nexport C\nD=d\nD\nH=$A-\n"
    known = ".env", "A=a\nB=b\nE=e\nG=g\n"
    found = apps(tmp_path, compose_yaml=text, **{"a.env": lines, known[0]: known[1]})
    assert found["web"].environment == {"A": "a", "B": "b", "D": "d", "E": "e", "H": "a-"}
    assert found["web"].left_out == ("environment.C", "environment.F", "environment.G")


def test_absent_file_of_variables_is_noted(tmp_path: Path) -> None:
    files = "[a.env, {path: b.env, required: false}, {path: ../c.env}, d.env]"
    text = f"services: {{web: {{image: x, env_file: {files}}}}}"
    found, notes = load(write(tmp_path, compose_yaml=text, **{"d.env": "D=d\n"}))
    assert found[0].environment == {"D": "d"}
    assert notes == [
        f"the variables of web in {file} are left out: it is not in this folder" for file in ("a.env", "../c.env")
    ]


@pytest.mark.parametrize("example", [".env.example", ".env-sample", "template.env", ".env.dist"])
def test_absent_variables_of_several_services_are_noted_once(tmp_path: Path, example: str) -> None:
    text = "services: {web: {image: x, env_file: .env}, api: {image: x, env_file: [.env]}}"
    _, notes = load(write(tmp_path, compose_yaml=text, **{example: "A=1"}))
    assert notes == [
        f"there is no .env: `cp {example} .env` before `sandbox init` gives variables a value",
        "the variables of web, api in .env are left out: it is not in this folder",
    ]


def test_a_compose_service_has_its_variables_filled_in(tmp_path: Path) -> None:
    """As compose does: from .env, else from the default; what only the shell has stays out."""
    text = """\
services:
  db:
    image: "postgres:${VERSION:-17}"
    ports: ["${PORT-1}:${PORT-1}"]
    command: [sh, -c, "echo $$HOME"]
    environment: {A: "${A}", B: "${NONE:-b}", C: "${NONE}", D: "$A-$$", E: "${EMPTY:-e}", F: "${A:+f}", G: "${N:?no}"}
"""
    write(tmp_path, **{"compose.yaml": text, ".env": "A=1\nEMPTY=\nPORT=5444\n"})
    found = look(tmp_path)
    (db,) = found.apps
    assert "values of .env" in found.notes[0]
    assert (db.image, db.port, db.args) == ("postgres:17", 5444, ("sh", "-c", "echo $HOME"))
    assert db.environment == {"A": "1", "B": "b", "D": "1-$", "E": "e", "F": "f"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A:-${B:-x}}", "x"),
        ("${A:-${ONE:-x}y}z", "1yz"),
        ("${A-$ONE} ${A:-${ONE}-${B-}}", "1 1-"),
        ("${ONE:+${A:-set}}${A:+no}", "set"),
        ("${ONE:-${A}}", "1"),
        ("${A:-$${B}}", "${B}"),
        ("${ONE?no ${A}}", "1"),
        ("$PAID-${PAID}", "a$b$$-a$b$$"),
        ("${A:-${B}}", None),
        ("${A:?no ${ONE}}", None),
        ("${ONE", None),
        ("${ONE!}", None),
        ("${A:-" * 40 + "}" * 40, None),
        ("${A:-" * 100_000, None),
    ],
)
def test_variables_of_compose_files_may_be_nested(tmp_path: Path, text: str, value: str | None) -> None:
    """Defaults have variables with defaults, as for compose; what has no value, or no end, stays out."""
    compose_text = json.dumps({"services": {"a": {"image": "x", "environment": {"V": text}}}})
    write(tmp_path, **{"compose.yaml": compose_text, ".env": "ONE=1\nPAID='a$b$$'\n"})
    (app,) = look(tmp_path).apps
    assert app.environment.get("V") == value


def test_command_has_unset_variables_empty(tmp_path: Path) -> None:
    """As compose without them in the shell; `$$X` is the program's own."""
    text = "{image: x, entrypoint: 'run ${A}-$B', command: [a, 'b=${C:-c}', '$$D $E', '${A:+x}'], expose: [1]}"
    web = apps(tmp_path, compose_yaml=f"services: {{web: {text}}}")["web"]
    assert (web.command, web.args) == (("run", "-"), ("a", "b=c", "$D ", ""))
    assert web.left_out == ("command.E", "entrypoint.A", "entrypoint.B")


@pytest.mark.parametrize(
    ("said", "image", "note"),
    [
        ("${HUB}web:1", "web:1", "the image of a is web:1, for HUB has no value in .env"),
        ("web:${TAG}", "web:${TAG}", "the image of a, web:${TAG}, has a variable without a value: give it one in .env"),
    ],
)
def test_image_with_an_unset_variable_is_told(tmp_path: Path, said: str, image: str, note: str) -> None:
    (app,), (told,) = load(write(tmp_path, compose_yaml=f"services: {{a: {{image: '{said}'}}}}"))
    assert app.image == image
    assert told.startswith(note)
