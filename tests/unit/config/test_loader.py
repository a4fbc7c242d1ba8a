"""Documents are read exactly, and whatever is wrong with one is said at its line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.config import loader
from sandbox.config.schema import Spec
from sandbox.errors import BadFile, UsageError


def parse(text: str) -> Spec:
    return loader.validated(loader.read(text, origin="s.yaml"), Spec, origin="s.yaml", text=text)


def refusal(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_key_with_nothing_written_keeps_its_default() -> None:
    assert parse("registry:\n  # port: 5\nname:\nedge: {ports: , hosts: }\n") == Spec()
    assert parse("edge: {tcp: [{port: 1, to: a/b, proxy_protocol: }]}") == parse("edge: {tcp: [{port: 1, to: a/b}]}")
    assert refusal("registry: null\n").brief == "s.yaml:1: registry: must be a mapping of keys, not nothing"
    assert refusal("reg:\n").brief == "s.yaml:1: unknown key 'reg'"
    assert refusal("registry: {poort: }\n").brief == "s.yaml:1: unknown key 'poort' in registry"
    assert refusal("name: a\nname:\n").brief == "s.yaml:2: key 'name' is given twice, first on line 1"


@pytest.mark.parametrize("word", ["no", "on", "YES", "0443", "1e3", "12:30", "2026-01-01", "=", "1_000", "0o17", "."])
def test_ambiguous_yaml_scalars_are_text(word: str) -> None:
    assert parse(f"apply: [{{chart: web, set: {{a: {word}}}}}]") == parse(
        f"apply: [{{chart: web, set: {{a: '{word}'}}}}]"
    )


@pytest.mark.parametrize(
    ("text", "brief", "fix"),
    [
        ("\nNAME: a\n", "s.yaml:2: unknown key 'NAME'", "did you mean 'name'?"),
        ("\nname: 1.10\n", "s.yaml:2: name: must be text, not 1.10", "put it in quotes: '1.10'"),
        ("name: [a]\n", "s.yaml:1: name: must be text, not a list", ""),
        (
            "edge: {tcp: [{port: 1, to: a/b, proxy_protocol: yes}]}",
            "s.yaml:1: edge.tcp[0].proxy_protocol: must be ",
            "",
        ),
        (
            "registry:\n  port:\n    abc\n",
            "s.yaml:2: registry.port: must be a whole number, or be 'auto', not",
            "",
        ),
        ("registry: {port: 65536}\n", "s.yaml:1: registry.port: must be at most 65535, or be 'auto', not 65536", ""),
        ("cluster:\n  mounts:\n  - 1\n", "s.yaml:3: cluster.mounts[0]: must be a mapping of keys, not 1", ""),
        ("edge:\n  hosts:\n  - [a]\n", "s.yaml:3: edge.hosts[0]: must be a mapping of keys, not a list", ""),
        (
            "edge: {tcp: [&a {port: 1, to: a/b, too: b}, *a]}",
            "s.yaml:1: unknown key 'too' in edge.tcp[0] (and 1",
            "line",
        ),
        ("name: a\npush: b\nname: c\n", "s.yaml:3: key 'name' is given twice, first on line 1", "keep one of them"),
        ("<<: {name: a}\n", "s.yaml:1: merge keys ('<<') are not supported", ""),
        ("name: a\n443: b\n", "s.yaml:2: a key must be text, not 443", ""),
        ("? [a]\n: b\n", "s.yaml:1: a key must be text, not a list", ""),
        ("name: a\n---\nname: b\n", "s.yaml:3: a second document begins here; only one", "put it in its own"),
        ("\nedge: !!python/object:os.x {}\n", "s.yaml:2: the tag '!!python/object:os.x' is not allowed", "remove it"),
        ("name: !!int abc\n", "s.yaml:1: 'abc' is not a usable value", ""),
        ("name: 1.5e+999\n", "s.yaml:1: '1.5e+999' is not a usable value", ""),
        ('name: "\\ud800"\n', "s.yaml:1:10: not valid YAML: found invalid Unicode character escape code", ""),
        ("name: a\npush: \x01\n", "s.yaml:2: not valid YAML: control characters are not allowed", "remove it"),
        ("edge:\n\tports: a\n", "s.yaml:2:1: not valid YAML: found character that cannot start any token", ""),
        ("\nname: b: c\n", "s.yaml:2:8: not valid YAML: mapping values are not allowed", ""),
        ("name: *x\n", "s.yaml:1:7: not valid YAML: found undefined alias", ""),
        ("name: a\napply: [1\n\n", "s.yaml:2:8: not valid YAML: did not find expected ',' or ']'", ""),
        ("- a\n", "s.yaml:1: the document must be a mapping of keys, not a list", ""),
        ("apply: &a [*a]\n", "s.yaml:1: values are nested more than 100 levels deep", ""),
        ("apply: " + "[" * 100_000, "s.yaml:1:1007: not valid YAML: exceeded maximum nesting depth", ""),
        ("apply: " + "{a: " * 101 + "}" * 101, "s.yaml:1: values are nested more than 100 levels deep", ""),
    ],
)
def test_refusals_name_the_line_and_the_key(text: str, brief: str, fix: str) -> None:
    error = refusal(text)
    assert error.brief.startswith(brief)
    assert error.fix.startswith(fix) and bool(error.fix) is bool(fix)


def test_the_line_at_fault_is_shown() -> None:
    assert refusal("name: a\npush: 3 # why\n").details == "  2 | push: 3 # why"
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
    error = refusal("ingress: {controller: x}\nregistry:\n  port: 2\n  prt: b\npush: 3\n")
    assert error.brief == "s.yaml:1: ingress.controller: must be 'traefik' or 'none', not 'x' (and 2 more)"
    assert error.details.splitlines() == [
        "  1 | ingress: {controller: x}",
        "s.yaml:4: unknown key 'prt' in registry",
        "  4 |   prt: b",
        "s.yaml:5: push: must be text, not 3",
        "  5 | push: 3",
    ]
    assert error.fix.splitlines() == ["line 4: did you mean 'port'?", "line 5: put it in quotes: '3'"]


def test_a_flood_of_errors_is_cut() -> None:
    error = refusal("addons:\n" + "- 1\n" * 2_000)
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
        loader.load(tmp_path / name, Spec, create="`make one`")
    assert caught.value.brief == brief.replace("PATH", str(tmp_path / name))
    assert caught.value.fix == fix


@pytest.mark.fault(53)
def test_a_file_that_is_not_utf8_is_refused_at_its_line(tmp_path: Path) -> None:
    """A file that is not UTF-8 → refused at its line."""
    path = tmp_path / "s.yaml"
    path.write_bytes(b"name: a\nmode: caf\xe9\n")
    with pytest.raises(UsageError) as caught:
        loader.load(path, Spec)
    assert caught.value.brief == f"{path}:2: not UTF-8 text"
    assert "0xe9" in caught.value.details


@pytest.mark.fault(43)
def test_a_file_over_one_mebibyte_is_refused(tmp_path: Path) -> None:
    """A file of more than one MiB → refused."""
    path = tmp_path / "s.yaml"
    path.write_text("ä" * (1 << 20), encoding="utf-8")  # of two bytes each, the last that is read is half of one
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        loader.load(path, Spec)


@pytest.mark.fault(43)
@given(st.text(max_size=60) | st.text(alphabet="ab:{}[],&*!|>-?#'\"%@` \n\t01.<~\\", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Any text at all → read, or refused with a line."""
    try:
        parse(text)
    except UsageError as error:
        assert error.brief.startswith("s.yaml:")
