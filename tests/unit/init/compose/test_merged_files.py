"""Services of compose files: read as YAML 1.2, and put together from the files that they are spread over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.config.schema.values import MAX_NAME
from sandbox.errors import BadFile, UsageError
from sandbox.init import compose
from sandbox.init.compose import merged_files
from sandbox.init.detected import App
from sandbox.init.kubernetes_objects import manifest
from sandbox.init.project_files import without_port


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_yaml", ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "compose.yaml"


def apps(folder: Path, **files: str) -> dict[str, App]:
    return {app.name: app for app in compose.load(write(folder, **files))[0]}


@pytest.mark.parametrize(
    ("key", "base", "over", "both"),
    [
        ("environment", {"A": "1", "B": "2"}, ["B=3", "C"], {"A": "1", "B": "3", "C": None}),
        ("command", ["a", "b"], ["c"], ["c"]),
        ("ports", ["80:80"], ["81:81", "80:80"], ["80:80", "81:81"]),
        ("volumes", ["a:/a", "b:/b"], ["c:/b"], ["a:/a", "c:/b"]),
        ("build", "web", {"target": "dev"}, {"context": "web", "target": "dev"}),
        ("env_file", "a.env", ["b.env"], ["a.env", "b.env"]),
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
    assert merged_files.merged({key: base}, {key: over}) == {key: both}


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
        compose.load(write(tmp_path, compose_yaml=twice))
    assert caught.value.details == "the key web is given a second time in line 3" and caught.value.fix
    merged = "x: &x {image: a, user: '1'}\nservices: {web: {<<: *x, image: b}, db: {<<: *x, image: c}}\n"
    files = {"compose.yaml": merged, "compose.override.yaml": twice}
    found, notes = compose.load(write(tmp_path, **files))
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
    found, notes = merged_files.load(path)
    services = found["services"]
    assert set(services) == {"a", "b", "c", "d"} and services["c"] == {"image": "c"}
    assert {note.partition(" ")[0] for note in notes} == {"../outside.yaml", "absent.yaml", "broken.yaml", "the"}
    with pytest.raises(UsageError, match="has no services"):
        merged_files.load(write(tmp_path / "none", compose_yaml="include: []"))


def test_names_that_become_one_are_kept_apart(tmp_path: Path) -> None:
    """Services, volumes and secrets whose names differ by case or a sign only → other names, told by a note."""
    text = """\
services:
  Web: {image: a, volumes: ["Data:/d", "./Data:/f"], environment: {A: "http://web/", B: "http://Web/"}, secrets: [A_B]}
  web: {image: b, volumes: ["data:/d"], secrets: [a-b]}
  a_b: {image: c}
secrets: {A_B: {file: one}, a-b: {file: two}}
"""
    found, notes = compose.load(write(tmp_path, compose_yaml=text, one="1", two="2"))
    assert [(one.name, one.image, dict(one.claims), one.volumes) for one in found] == [
        ("web-2", "a", {"/d": "data-2", "/f": "data-3"}, ("data-2", "data-3")),
        ("web", "b", {"/d": "data"}, ("data",)),
        ("a-b", "c", {}, ()),
    ]
    assert [(mount.name, mount.files) for one in found for mount in one.mounts if mount.secret] == [
        ("a-b-2", {"a-b-2": "1"}),
        ("a-b", {"a-b": "2"}),
    ]
    assert notes[:2] == [
        "Web is called web-2 in the cluster, and so in B of web-2: change what else calls it (its code)",
        "a_b is called a-b in the cluster: change what calls it (its code)",
    ]


def test_variables_of_an_included_file_are_named(tmp_path: Path) -> None:
    write(tmp_path, a__compose_yaml="services: {a: {image: a}}", **{"a/a.env": "A=1\n"})
    text = "include: [{path: a/compose.yaml, env_file: a/a.env}]"
    _, notes = compose.load(write(tmp_path, compose_yaml=text))
    assert notes == ["the variables of a/a.env for a/compose.yaml are left out: add them to .env"]


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


def test_settings_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """No port, no command line, no name of a variable → left out, as the manifest says; the rest is taken."""
    text = """\
services:
  web:
    image: x
    ports: ["80:$P", "a:b", "90-80", "53/sctp", {published: 80}, "99999", "8080:80"]
    command: sh -c 'echo
    entrypoint: 5
    working_dir: app/$P
    environment: {"": a, "a=b": c, D: d, "e f": g}
"""
    web = apps(tmp_path, compose_yaml=text)["web"]
    assert (web.port, web.more_ports, web.command, web.args, web.folder) == (80, (), (), (), "")
    assert web.environment == {"D": "d", "e f": "g"}
    ports = ["80:$P", "90-80", "99999", "53/sctp", "None/tcp", "a:b"]
    assert set(web.left_out) == {
        *(f"ports.{one}" for one in ports),
        *("command", "entrypoint", "environment.", "environment.a=b", "working_dir"),
    }


@pytest.mark.parametrize("said", ["", "nginx", "[nginx]"])
def test_service_without_settings_is_named(tmp_path: Path, said: str) -> None:
    found, notes = compose.load(write(tmp_path, compose_yaml=f"services: {{web: {said}, db: {{image: x}}}}"))
    assert [one.name for one in found] == ["db"]
    assert notes == ["web is left out: its settings, such as `image:`, have to be below its name"]


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        ("Team/App:1", "none: "),
        ("x y", "none: "),
        ("a@sha256:12", "none: 'sha256:12' is not a digest"),
        ("a:${TAG}", "a variable without a value"),
        ("a:${TAG:-1}", ""),
    ],
)
def test_image_that_is_none_is_noted(tmp_path: Path, image: str, fault: str) -> None:
    _, notes = compose.load(write(tmp_path, compose_yaml=f"services: {{web: {{image: '{image}'}}}}"))
    assert [fault in one for one in notes] == ([True] if fault else [])


def test_text_that_kubectl_reads_as_a_number_is_quoted(tmp_path: Path) -> None:
    """Go's YAML takes more for numbers than PyYAML; in a variable's value, the cluster refuses them."""
    text = "services: {web: {image: x, environment: {A: '1e3', B: '0o17', C: 'y', D: '5', E: ''}}}"
    written = manifest(apps(tmp_path, compose_yaml=text)["web"], image="x", host=None)
    assert [line.strip() for line in written.splitlines() if "value:" in line] == [
        f'value: "{one}"' for one in ("1e3", "0o17", "y", "5", "")
    ]


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


@pytest.mark.parametrize(
    ("settings", "ports"),
    [
        ('ports: ["8025:8025", "1025:1025"]', ["main 8025", "tcp-1025 1025"]),
        (
            'ports: ["9001-9002:80-81", "53:53/udp"], expose: [80, 82]',
            ["main 80", "tcp-81 81", "udp-53 53", "tcp-82 82"],
        ),
        ('ports: ["53:53/udp", "53:53"]', ["main 53", "udp-53 53"]),
        ('ports: ["51820:51820/udp"]', ["udp-51820 51820"]),
        ('ports: ["10000-20000:10000-20000/udp"]', ["udp-10000 10000"]),
    ],
)
def test_service_has_all_ports_of_a_compose_service(tmp_path: Path, settings: str, ports: list[str]) -> None:
    """Others in the project reach each of them by the service's name, as with compose."""
    app = apps(tmp_path, compose_yaml=f"services: {{a: {{image: x, {settings}}}}}")["a"]
    deployment, service, *_ = yaml.safe_load_all(manifest(app, image="x", host="a.test"))
    assert [f"{one['name']} {one['port']}" for one in service["spec"]["ports"]] == ports
    assert [one.get("protocol") == "UDP" for one in service["spec"]["ports"]] == ["udp" in one for one in ports]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert [one["containerPort"] for one in container["ports"]] == [one["port"] for one in service["spec"]["ports"]]
    assert app.left_out == (("ports.10000-20000",) if "10000-20000" in settings else ())


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
        "H= # only a comment",
        "I=${B}/${NONE}",
        "J=${B}/x",
        "no variable",
        "K: by a colon\r",
        "L='-----BEGIN-----\nx=1\n-----END-----'\r",
        'M="two\n lines" # comment',
        "N='open",
        "O=after",
    ]
    found = apps(tmp_path, compose_yaml="services: {web: {image: x, env_file: a.env}}", **{"a.env": "\n".join(lines)})
    assert found["web"].environment == {
        **{"A": "a#b", "B": "plain text", "C": "blanks", "D": "$literal", "E": 'two\nlines"a#b'},
        **{"F": "a#b", "G": "", "H": "", "J": "plain text/x", "K": "by a colon"},
        **{"L": "-----BEGIN-----\nx=1\n-----END-----", "M": "two\n lines", "O": "after"},
    }
    assert found["web"].left_out == ("environment.I",)


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
    found, notes = compose.load(write(tmp_path, compose_yaml=text, **{"d.env": "D=d\n"}))
    assert found[0].environment == {"D": "d"}
    assert notes == [
        f"the variables of web in {file} are left out: it is not in this folder" for file in ("a.env", "../c.env")
    ]


def test_service_whose_name_cannot_be_kept_is_noted(tmp_path: Path) -> None:
    web = "{image: y, environment: {HOST: my_db, URL: 'pg://my_db:1/my_db_2', NO: my_db_2}}"
    text = f"services: {{my_db: {{image: x}}, web: {web}}}"
    (_, app), notes = compose.load(write(tmp_path, compose_yaml=text))
    assert app.environment == {"HOST": "my-db", "URL": "pg://my-db:1/my_db_2", "NO": "my_db_2"}
    changed = "HOST of web, URL of web"
    assert notes == [f"my_db is called my-db in the cluster, and so in {changed}: change what else calls it (its code)"]


def test_services_whose_long_names_begin_alike_stay_apart(tmp_path: Path) -> None:
    """So do their volumes, in which the data would be mixed."""
    names = [f"{'x' * 40}-{end}" for end in ("one", "two")]
    listed = [f"{name}: {{image: x, volumes: ['{name}:/data']}}" for name in names]
    text = f"services: {{{', '.join(listed)}}}\nvolumes: {{{names[0]}: {{}}, {names[1]}: {{}}}}"
    first, second = compose.load(write(tmp_path, compose_yaml=text))[0]
    assert first.name != second.name
    assert first.claims["/data"] != second.claims["/data"]
    assert max(map(len, (first.name, *first.volumes))) <= MAX_NAME


@pytest.mark.parametrize(
    ("profiles", "env", "names"),
    [
        ((), "", ["web"]),
        (("debug",), "", ["web", "tools"]),
        (("seed", "debug"), "", ["web", "tools", "seeds"]),
        (("*",), "", ["web", "tools", "seeds"]),
        ((), "COMPOSE_PROFILES=debug, seed\n", ["web", "tools", "seeds"]),
    ],
)
def test_services_of_wanted_profiles_are_used(
    tmp_path: Path, profiles: tuple[str, ...], env: str, names: list[str]
) -> None:
    (tmp_path / ".env").write_text(env)
    (tmp_path / "compose.yaml").write_text(
        "services:\n  web: {image: web}\n"
        "  tools: {image: tools, profiles: [debug, other]}\n  seeds: {image: seeds, profiles: [seed]}\n"
    )
    apps, notes = compose.load(tmp_path / "compose.yaml", profiles)
    assert [app.name for app in apps] == names
    apart = {"tools": "--profile debug --profile other", "seeds": "--profile seed"}
    left_out = [name for name in apart if name not in names]
    options = " ".join(apart[name] for name in left_out)
    note = f"compose.yaml: {', '.join(left_out)} left out, since only a profile starts them: add {options}"
    assert notes == ([note] if left_out else [])


@pytest.mark.parametrize(
    ("settings", "container", "left_out"),
    [
        ("working_dir: /app, user: 1000", {"workingDir": "/app", "securityContext": {"runAsUser": 1000}}, ()),
        ("user: 0", {"securityContext": {"runAsUser": 0}}, ()),
        ("user: '1:2'", {"securityContext": {"runAsUser": 1, "runAsGroup": 2}}, ()),
        ("user: node", {}, ("user",)),
        ("tty: true, stdin_open: true", {"stdin": True, "tty": True}, ()),
        ("tty: false", {}, ()),
        ("user: '${UID}'", {}, ("user",)),
        ("networks: {default: {aliases: [web, web.internal]}, other: null}", {}, ("networks.aliases.web.internal",)),
        ("networks: [a]", {}, ()),
    ],
)
def test_user_folder_terminal_and_names_are_not_lost(
    tmp_path: Path, settings: str, container: dict[str, Any], left_out: tuple[str, ...]
) -> None:
    (tmp_path / "compose.yaml").write_text(f"services: {{web: {{image: web, {settings}}}}}\n")
    (app,), _ = compose.load(tmp_path / "compose.yaml")
    deployment, _ = yaml.safe_load_all(manifest(app, image="web", host=None))
    made = deployment["spec"]["template"]["spec"]["containers"][0]
    assert {key: value for key, value in made.items() if key not in ("name", "image")} == container
    assert app.left_out == left_out


def test_folders_and_images_named_by_the_shell_are_told(tmp_path: Path) -> None:
    """`${HOME}/.aws` is a folder of this machine, no named volume; an image with `$` in its name is not pulled."""
    text = "services: {a: {image: 'a:${TAG:?}', volumes: ['${HOME}/.aws:/aws', '$PWD:/app', 'data:/data']}}"
    (tmp_path / "compose.yaml").write_text(text)
    (app,), notes = compose.load(tmp_path / "compose.yaml")
    assert (app.claims, app.left_out) == ({"/data": "data"}, ("volumes.$PWD", "volumes.${HOME}/.aws"))
    assert notes == ["the image of a, a:${TAG:?}, has a variable without a value: give it one in .env or its manifest"]


def test_only_programs_that_serve_are_asked_for_a_port() -> None:
    programs = App("a", context="."), App("job", image="a", once=True), App("dns", image="a", more_ports=((53, "udp"),))
    assert dict(without_port((*programs, App("b", image="b"), App("c")))) == {
        "a": "EXPOSE it in its Dockerfile",
        "b": "name it below `expose` of its service",
    }
