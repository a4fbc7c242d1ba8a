"""Services of compose files: read as YAML 1.2, and put together from the files that they are spread over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import BadFile, UsageError
from sandbox.init.compose import merge, merged_files
from tests.support.project_folder import apps, load, write


@pytest.mark.parametrize(
    ("key", "base", "over", "both"),
    [
        ("environment", {"A": "1", "B": "2"}, ["B=3", "C"], {"A": "1", "B": "3", "C": None}),
        ("command", ["a", "b"], ["c"], ["c"]),
        ("ports", ["80:80"], ["81:81", "80:80"], ["80:80", "81:81"]),
        ("volumes", ["a:/a", "b:/b"], ["c:/b"], ["a:/a", "c:/b"]),
        ("secrets", ["a", "b"], [{"source": "c", "target": "b"}], ["a", {"source": "c", "target": "b"}]),
        ("configs", [{"source": "b", "target": "/a"}, "b"], ["a", "c"], ["a", "b", "c"]),
        ("volumes", None, ["a:/a", {"source": "b", "target": "/a"}], [{"source": "b", "target": "/a"}]),
        ("extra_hosts", {"a": "1.2.3.4", "b": ["::1"]}, ["a:1.2.3.5"], ["a=1.2.3.4", "b=::1", "a:1.2.3.5"]),
        ("networks", {"a": {"aliases": ["b"]}}, ["a", "c"], {"a": {"aliases": ["b"]}, "c": None}),
        (
            "healthcheck",
            {"test": ["a"], "timeout": "1s"},
            {"test": "b", "timeout": None},
            {"test": "b", "timeout": "1s"},
        ),
        ("build", "web", {"target": "dev"}, {"context": "web", "target": "dev"}),
        ("env_file", "a.env", ["b.env"], ["a.env", "b.env"]),
        ("env_file", "a.env", "b.env", ["a.env", "b.env"]),
        ("tmpfs", "/a", ["/b", "/a"], ["/a", "/b"]),
        (
            "depends_on",
            ["db"],
            {"job": {"condition": "service_healthy"}},
            {"db": None, "job": {"condition": "service_healthy"}},
        ),
        ("image", "x", "y", "y"),
    ],
)
def test_settings_are_merged_by_their_kind(key: str, base: Any, over: Any, both: Any) -> None:
    assert merge.merged({key: base}, {key: over}) == {key: both}


def test_services_are_spread_over_several_files(tmp_path: Path) -> None:
    found = apps(
        tmp_path,
        compose_yaml="""\
include: [other/compose.yaml, {path: other/more.yaml}]
services:
  web: {extends: base, command: [web]}
  base: {image: base, environment: {A: "1"}}
  job: {extends: {file: parts/job.yaml, service: job}, environment: [B=2]}
""",
        parts__job_yaml="services: {job: {extends: root, build: ., env_file: job.env}, root: {environment: {C: c}}}",
        other__compose_yaml="services: {db: {image: postgres, volumes: ['./init.sql:/init.sql', 'data:/data']}}",
        other__more_yaml="services: {cache: {image: redis}}",
        **{
            "parts/job.env": "D=d\n",
            "other/init.sql": "select 1",
            "docker-compose.override.yml": "services: {web: {image: mine}}",
        },
    )
    assert set(found) == {"web", "base", "job", "db", "cache"}
    assert (found["web"].image, found["web"].args, found["web"].environment) == ("mine", ("web",), {"A": "1"})
    assert (found["job"].context, found["job"].environment) == ("parts", {"B": "2", "C": "c", "D": "d"})
    assert [mount.files for mount in found["db"].mounts] == [{"init.sql": "select 1"}]
    assert found["db"].claims == {"/data": "data"}


def test_tags_of_an_override_replace_and_remove(tmp_path: Path) -> None:
    base = """\
services:
  web: {image: a, ports: ["80:80"], command: [x], environment: {A: a, B: b}, labels: {c: d}}
  db: {image: b}
  api: {extends: web, ports: !override [82], command: !reset null}
  alone: {image: !override c, ports: !reset [83]}
"""
    over = """\
services:
  web: {ports: !override ["81:81"], command: !reset null, environment: {A: !reset null, C: c}, labels: !reset {}}
  db: !reset null
"""
    found = apps(tmp_path, compose_yaml=base, **{"compose.override.yaml": over})
    assert {name: (one.image, one.port, one.args, dict(one.environment)) for name, one in found.items()} == {
        "web": ("a", 81, (), {"B": "b", "C": "c"}),
        "api": ("a", 82, (), {"A": "a", "B": "b"}),
        "alone": ("c", None, (), {}),
    }
    assert (found["web"].left_out, found["api"].left_out) == ((), ("labels",))


def test_key_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    """As by compose: else the first service of that name would be gone without a word."""
    twice = "services:\n  web: {image: a}\n  web: {image: b}\n"
    with pytest.raises(BadFile, match="cannot be read") as caught:
        load(write(tmp_path, compose_yaml=twice))
    assert caught.value.details == "the key web is given a second time in line 3" and caught.value.fix
    merged = "x: &x {image: a, user: '1'}\nservices: {web: {<<: *x, image: b}, db: {<<: *x, image: c}}\n"
    files = {"compose.yaml": merged, "compose.override.yaml": twice}
    found, notes = load(write(tmp_path, **files))
    assert [(one.image, one.user) for one in found] == [("b", "1"), ("c", "1")]
    assert notes == ["compose.override.yaml is left out: the key web is given a second time in line 3"]


def test_parts_that_cannot_be_used_are_noted(tmp_path: Path) -> None:
    """Files elsewhere, broken or absent, services that extend themselves → the rest is taken, and a note says it."""
    text = """\
include: [../outside.yaml, absent.yaml]
services:
  a: {extends: b, image: a}
  b: {extends: a}
  c: {extends: {file: broken.yaml, service: x}, image: c}
  d: {extends: {file: compose.yaml, service: d}, image: d}
"""
    (tmp_path / "outside.yaml").write_text("services: {secret: {image: x}}")
    path = write(tmp_path / "project", compose_yaml=text, broken_yaml="services: [")
    found, notes = merged_files.load(path.parent, [path.name], {})
    services = found["services"]
    assert set(services) == {"a", "b", "c", "d"} and services["c"] == {"image": "c"}
    assert {note.partition(" ")[0] for note in notes} == {"../outside.yaml", "absent.yaml", "broken.yaml", "the"}
    with pytest.raises(UsageError, match="has no services"):
        merged_files.load(write(tmp_path / "none", compose_yaml="include: []").parent, ["compose.yaml"], {})


@pytest.mark.parametrize(
    ("entry", "values"),
    [
        ("a/compose.yaml", {"A": "folder", "B": "project", "C": "x"}),
        ("{path: a/compose.yaml, env_file: more.env}", {"A": "more", "B": "project", "C": "x"}),
        ("{path: a/compose.yaml, env_file: [more.env, a/last.env]}", {"A": "last", "B": "project", "C": "la$$st"}),
        ("{path: a/compose.yaml, project_directory: .}", {"A": None, "B": "project", "C": "x"}),
    ],
)
def test_included_file_has_variables_of_its_own(tmp_path: Path, entry: str, values: dict[str, str | None]) -> None:
    """Those of its folder, or of `env_file`; the project's come first, and do not see them."""
    image = "{image: 'x:${A:-none}', environment: [A, 'B=${B}', 'C=${C:-x}', NONE]}"
    write(
        tmp_path,
        a__compose_yaml=f"services: {{a: {image}}}",
        **{".env": "B=project\n", "a/.env": "A=folder\nB=folder\n", "more.env": "A=more\nB=more\n"},
        **{"a/last.env": "A=last\nC='la$$st'\n"},
    )
    found = apps(tmp_path, compose_yaml=f"include: [{entry}]\nservices: {{own: {image}}}")
    assert found["a"].environment == {key: value for key, value in values.items() if value is not None}
    assert found["a"].image == f"x:{values['A'] or 'none'}"
    assert (found["own"].image, found["own"].environment) == ("x:none", {"B": "project", "C": "x"})


def test_absent_variables_of_an_included_file_are_noted(tmp_path: Path) -> None:
    write(tmp_path, a__compose_yaml="services: {a: {image: a}}", **{"a.env": "A=1\n"})
    text = "include: [{path: a/compose.yaml, env_file: [a.env, ../b.env, c.env]}]"
    _, notes = load(write(tmp_path, compose_yaml=text))
    assert notes == [
        f"the variables of {one} for a/compose.yaml are left out: it is not in this folder"
        for one in ("../b.env", "c.env")
    ]


def test_file_above_an_included_one_is_of_the_project(tmp_path: Path) -> None:
    """A path that leaves the folder of an included file, but not the project's → it is read."""
    found = apps(
        tmp_path,
        compose_yaml="include: ['${WHERE:-parts}/compose.yaml']",
        parts__compose_yaml="services: {a: {extends: {file: ../common.yaml, service: base}}}",
        common_yaml="services: {base: {image: base, env_file: base.env}}",
        **{"base.env": "A=1\n"},
    )
    assert (found["a"].image, found["a"].environment) == ("base", {"A": "1"})


def test_included_files_have_the_paths_of_their_project(tmp_path: Path) -> None:
    """Of several files of one entry that is the folder of the first, unless it is said."""
    include = "[{path: a/compose.yaml, project_directory: .}, {path: [b/compose.yaml, c/compose.yaml]}]"
    found = apps(
        tmp_path,
        compose_yaml=f"include: {include}\n",
        a__compose_yaml="services: {a: {build: ./a, env_file: x.env}}",
        b__compose_yaml="services: {b: {build: ./b}}",
        c__compose_yaml="services: {b: {env_file: y.env}}",
        **{"x.env": "X=1\n", "b/y.env": "Y=1\n"},
    )
    assert [(one.context, one.environment) for one in found.values()] == [("a", {"X": "1"}), ("b/b", {"Y": "1"})]


def test_values_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    """`true`, `yes` and `22:22` → as compose gives them to programs, not True and 1342."""
    text = """\
services:
  web:
    image: x
    build: {context: ., args: {DEBUG: true}}
    ports: [22:22]
    environment: {A: true, B: yes, C: 1:30, D: 1.5, E: FALSE, F: on}
  dns: {image: y, ports: [{target: 53, protocol: udp}, {target: 54}]}
  range: {image: z, ports: ["3000-3005:4000-4005"]}
  alone: {image: z, ports: 80, environment: true}
  odd: {image: z, ports: ["²"]}
"""
    found = apps(tmp_path, compose_yaml=text)
    assert [one.port for one in found.values()] == [22, 54, 4000, 80, None]
    assert found["web"].environment == {"A": "true", "B": "yes", "C": "1:30", "D": "1.5", "E": "false", "F": "on"}
    assert found["web"].build == {"args": {"DEBUG": "true"}}
