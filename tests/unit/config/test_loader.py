"""Documents are read exactly, and whatever is wrong with one is said at its line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sandbox.config import loader
from sandbox.config.problems import Misfits
from sandbox.errors import BadFile, UsageError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Port(Strict):
    number: int = Field(default=1, ge=1, le=65535)
    name: str = "https"


class Daemon(Strict):
    source: Literal["daemon"]
    image: str


class Archive(Strict):
    source: Literal["archive"]
    path: Path
    platform: str = ""


Image = Annotated[Daemon | Archive, Field(discriminator="source")]


class Server(Strict):
    name: str = "web"
    mode: Literal["auto", "manual"] = "auto"
    public: bool = False
    weight: float = 1.0
    ports: tuple[Port, ...] = ()
    main: Port = Port()
    images: tuple[str | Image, ...] = ()
    hosts: Literal["any"] | tuple[str, ...] = "any"
    labels: dict[str, str] = {}
    note: str | None = "none"

    @model_validator(mode="after")
    def _main_is_no_port(self) -> Server:
        misfits = [
            (("ports", index, "number"), "is the main port")
            for index, port in enumerate(self.ports)
            if port.number == self.main.number and port.name == "clash"
        ]
        if misfits:
            raise Misfits(*misfits)
        if self.name == "nosuch":
            raise ValueError("nosuch serves nothing")
        return self


def parse(text: str) -> Server:
    return loader.parse(text, Server, origin="s.yaml")


def refusal(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "{}", "null\n", "\ufeff"])
def test_an_empty_document_is_all_defaults(text: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    assert loader.load(path, Server) == Server()


def test_a_key_with_nothing_written_keeps_its_default() -> None:
    assert parse("main:\n  # number: 5\nports:\nname:\nmode:\nlabels:\n") == Server()
    assert parse("ports:\n- number:\n  name: x\n") == Server(ports=(Port(name="x"),))
    assert refusal("main: null\n").brief == "s.yaml:1: main: must be a mapping of keys, not nothing"
    assert refusal("man:\n").brief == "s.yaml:1: unknown key 'man'"
    assert refusal("main: {namee: }\n").brief == "s.yaml:1: unknown key 'namee' in main"
    assert refusal("name: a\nname:\n").brief == "s.yaml:2: key 'name' is given twice, first on line 1"


@pytest.mark.parametrize("word", ["no", "on", "YES", "0443", "1e3", "12:30", "2026-01-01", "=", "1_000", "0o17", "."])
def test_ambiguous_yaml_scalars_are_text(word: str) -> None:
    assert parse(f"name: {word}").name == word


def test_anchors_and_aliases_are_expanded() -> None:
    server = parse("ports:\n- &a {number: 7}\n- *a\nmain: *a\n")
    assert server.ports == (Port(number=7), Port(number=7))
    assert server.main.number == 7


@pytest.mark.parametrize(
    ("text", "brief", "fix"),
    [
        ("name: a\nnmae: b\n", "s.yaml:2: unknown key 'nmae'", "did you mean 'name'?"),
        ("\nMAIN: {}\n", "s.yaml:2: unknown key 'MAIN'", "did you mean 'main'?"),
        ("main: {colour: red}\n", "s.yaml:1: unknown key 'colour' in main", "allowed keys: number, name"),
        ("images: [{source: archive, path: a, platfrom: b}]\n", "s.yaml:1: unknown key 'platfrom' in images[0]", "did"),
        ("images: [{source: daemon, image: a, q: b}]\n", "s.yaml:1: unknown key 'q' in images[0]", "allowed keys: sou"),
        ("images:\n- source: daemon\n", "s.yaml:2: missing key 'image' in images[0]", "add 'image:'"),
        ("images:\n- source: deamon\n", "s.yaml:2: images[0].source: must be one of 'daemon', 'archive', not 'de", ""),
        ("images:\n\n- image: a\n", "s.yaml:3: images[0]: missing key 'source'", "add 'source:'"),
        ("mode: manul\n", "s.yaml:1: mode: must be 'auto' or 'manual', not 'manul'", ""),
        ("mode: 3\n", "s.yaml:1: mode: must be 'auto' or 'manual', not 3", ""),
        ("\nname: 1.10\n", "s.yaml:2: name: must be text, not 1.10", "put it in quotes: '1.10'"),
        ("name: [a]\n", "s.yaml:1: name: must be text, not a list", ""),
        ("public: yes\n", "s.yaml:1: public: must be true or false, not 'yes'", ""),
        ("weight: heavy\n", "s.yaml:1: weight: must be a number, not 'heavy'", ""),
        ("main:\n  number:\n    abc\n", "s.yaml:2: main.number: must be a whole number, not 'abc'", ""),
        ("main: {number: 0}\n", "s.yaml:1: main.number: must be at least 1, not 0", ""),
        ("main: {number: 65536}\n", "s.yaml:1: main.number: must be at most 65535, not 65536", ""),
        ("ports: {a: 1}\n", "s.yaml:1: ports: must be a list, not a mapping", ""),
        ("ports:\n- 1\n", "s.yaml:2: ports[0]: must be a mapping of keys, not 1", ""),
        ("hosts: some\n", "s.yaml:1: hosts: must be 'any', or be a list, not 'some'", ""),
        ("hosts:\n- a\n- 1\n", "s.yaml:3: hosts[1]: must be text, not 1", "put it in quotes: '1'"),
        ("name: nosuch\n", "s.yaml:1: nosuch serves nothing", ""),
        ("main: {number: 9}\nports:\n- name: clash\n  number: 9\n", "s.yaml:4: ports[0].number: is the main port", ""),
        ("ports:\n- name: clash\n", "s.yaml:2: ports[0].number: is the main port", ""),
        ("ports: [&a {numbr: 2}]\nmain: *a\n", "s.yaml:1: unknown key 'numbr' in ports[0] (and 1 more)", "line 1: did"),
        ("name: a\nmode: auto\nname: b\n", "s.yaml:3: key 'name' is given twice, first on line 1", "keep one of them"),
        ("<<: {name: a}\n", "s.yaml:1: merge keys ('<<') are not supported", ""),
        ("name: a\n443: b\n", "s.yaml:2: a key must be text, not 443", ""),
        ("? [a]\n: b\n", "s.yaml:1: a key must be text, not a list", ""),
        ("name: a\n---\nname: b\n", "s.yaml:3: a second document begins here; only one", "put it in its own"),
        ("\nmain: !!python/object:os.x {}\n", "s.yaml:2: the tag '!!python/object:os.x' is not allowed", "remove it"),
        ("ports: !mine [a]\n", "s.yaml:1: the tag '!mine' is not allowed", "remove it"),
        ("name: !!int abc\n", "s.yaml:1: 'abc' is not a usable value", ""),
        ("weight: 1.5e+999\n", "s.yaml:1: '1.5e+999' is not a usable value", ""),
        ('name: "\\ud800"\n', "s.yaml:1:10: not valid YAML: found invalid Unicode character escape code", ""),
        ("name: a\nmode: \x01\n", "s.yaml:2: not valid YAML: control characters are not allowed", "remove it"),
        ("main:\n\tname: a\n", "s.yaml:2:1: not valid YAML: found character that cannot start any token", ""),
        ("\nname: b: c\n", "s.yaml:2:8: not valid YAML: mapping values are not allowed", ""),
        ("name: *x\n", "s.yaml:1:7: not valid YAML: found undefined alias", ""),
        ("name: a\nports: [1\n\n", "s.yaml:2:8: not valid YAML: did not find expected ',' or ']'", ""),
        ("- a\n", "s.yaml:1: the document must be a mapping of keys, not a list", ""),
        ("ports: &a [*a]\n", "s.yaml:1: values are nested more than 100 levels deep", ""),
        ("ports: " + "[" * 100_000, "s.yaml:1:1007: not valid YAML: exceeded maximum nesting depth", ""),
        ("ports: " + "{a: " * 101 + "}" * 101, "s.yaml:1: values are nested more than 100 levels deep", ""),
    ],
)
def test_refusals_name_the_line_and_the_key(text: str, brief: str, fix: str) -> None:
    error = refusal(text)
    assert error.brief.startswith(brief)
    assert error.fix.startswith(fix) and bool(error.fix) is bool(fix)


def test_the_line_at_fault_is_shown() -> None:
    assert refusal("name: a\nmode: x # why\n").details == "  2 | mode: x # why"
    assert refusal("name: b: c\n").details == "  1 | name: b: c\n             ^"
    assert refusal(f"nmae: {'a' * 500}\n").details == f"  1 | nmae: {'a' * 113}…"


@pytest.mark.fault(42)
@pytest.mark.security(6)
@pytest.mark.parametrize(
    "text",
    [
        '{"auths": {"quay.io": {"auth": "bWU6Y2FuYXJ5"}}}',
        '{\n "type": "service_account",\n "private_key": "-----BEGIN PRIVATE KEY-----\\nbWU6Y2FuYXJ5"\n}',
        "[default]\naws_secret_access_key = bWU6Y2FuYXJ5\n",
        "{'SecretAccessKey': 'bWU6Y2FuYXJ5'}",
    ],
)
def test_secret_in_a_file_of_another_kind_is_not_shown(text: str) -> None:
    """A file with an account is given as the spec → its lines are shown without what is secret."""
    with pytest.raises(BadFile) as caught:
        parse(text)
    assert "bWU6" not in f"{caught.value} {caught.value.fix}" and "***" in caught.value.details


def test_several_errors_are_all_listed_first_one_first() -> None:
    """Several mistakes in one file → all are listed."""
    error = refusal("mode: x\nmain:\n  number: 2\n  nme: b\nname: 3\n")
    assert error.brief == "s.yaml:1: mode: must be 'auto' or 'manual', not 'x' (and 2 more)"
    assert error.details.splitlines() == [
        "  1 | mode: x",
        "s.yaml:4: unknown key 'nme' in main",
        "  4 |   nme: b",
        "s.yaml:5: name: must be text, not 3",
        "  5 | name: 3",
    ]
    assert error.fix.splitlines() == ["line 4: did you mean 'name'?", "line 5: put it in quotes: '3'"]


def test_a_flood_of_errors_is_cut() -> None:
    error = refusal("ports:\n" + "- 1\n" * 2_000)
    assert error.brief.endswith("(and 1999 more)")
    assert len(error.details.splitlines()) < 50


@pytest.mark.fault(43)
def test_an_alias_bomb_is_refused() -> None:
    """Aliases that expand to 10^12 values → refused at once."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    error = refusal("\n".join(lines))
    assert error.brief.endswith("values, once aliases are expanded")


@pytest.mark.security(12)
def test_terminal_control_characters_are_not_shown() -> None:
    """A key with an escape sequence → shown without it."""
    error = refusal('"\\e[31mred\\a": 1\n')
    assert "\x1b" not in str(error) + error.fix


@pytest.mark.parametrize(
    ("name", "brief", "fix"),
    [
        ("none", "PATH: no such file or folder", "`make one`"),
        ("folder", "PATH is a directory, not a file", "name the file inside it"),
        ("loop", "PATH cannot be read", "check its permissions, or name another file"),
        ("pipe", "PATH is not a regular file", "put a file there, or leave it out"),
    ],
)
def test_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, brief: str, fix: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")  # unlike a mode, this stops root too
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadFile) as caught:
        loader.load(tmp_path / name, Server, create="`make one`")
    assert caught.value.brief == brief.replace("PATH", str(tmp_path / name))
    assert caught.value.fix == fix


@pytest.mark.fault(53)
def test_a_file_that_is_not_utf8_is_refused_at_its_line(tmp_path: Path) -> None:
    """A file that is not UTF-8 → refused at its line."""
    path = tmp_path / "s.yaml"
    path.write_bytes(b"name: a\nmode: caf\xe9\n")
    with pytest.raises(UsageError) as caught:
        loader.load(path, Server)
    assert caught.value.brief == f"{path}:2: not UTF-8 text"
    assert "0xe9" in caught.value.details


@pytest.mark.fault(43)
def test_a_file_over_one_mebibyte_is_refused(tmp_path: Path) -> None:
    """A file of more than one MiB → refused."""
    path = tmp_path / "s.yaml"
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        loader.load(path, Server)


def test_file_errors_name_the_file_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s.yaml").write_text("name: a\r\nnmae: b\r\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        loader.load(Path("s.yaml"), Server)
    assert caught.value.brief == "s.yaml:2: unknown key 'nmae'"


@pytest.mark.fault(43)
@given(st.text(max_size=60) | st.text(alphabet="ab:{}[],&*!|>-?#'\"%@` \n\t01.<~\\", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Any text at all → read, or refused with a line."""
    try:
        parse(text)
    except UsageError as error:
        assert error.brief.startswith("s.yaml:")


@given(st.dictionaries(st.text(), st.text()))
def test_yaml_is_read_back_as_written(labels: dict[str, str]) -> None:
    text = yaml.safe_dump({"labels": labels})
    if "<<" in labels:
        assert "merge keys" in refusal(text).brief
    else:
        assert parse(text).labels == labels
