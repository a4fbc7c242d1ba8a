"""One service of a compose file as a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.init.detected import App
from tests.support.project_folder import project, services, write


def service(folder: Path, settings: str) -> App:
    """Return the program of the service `web`."""
    return services(folder, f"  web: {{{settings}}}")["web"]


def test_built_service_has_its_build_options(tmp_path: Path) -> None:
    write(tmp_path, {"web/Dockerfile": "FROM x", ".env": "B=2\n", "npmrc": ""})
    app = service(
        tmp_path,
        "image: acme/web:1, build: {context: ./web, dockerfile: ./Dev, target: dev, args: [A=1, B, C], ssh: [default],"
        " secrets: [npm, {source: token, target: t}, lost], network: host, cache_from: [x], x-own: 1}}\n"
        "secrets: {npm: {file: npmrc}, token: {environment: TOKEN}",
    )
    assert (app.context, app.image, app.names) == ("web", None, ("acme/web:1",))
    assert app.build == {
        "dockerfile": "Dev",
        "target": "dev",
        "args": {"A": "1", "B": "2"},
        "secrets": ["id=npm,src=npmrc", "id=t,env=TOKEN"],
        "ssh": ["default"],
    }
    assert app.left_out == ("build.args.C", "build.network", "build.secrets.lost")
    app = service(tmp_path, 'build: {context: app, dockerfile_inline: "FROM x\\nRUN echo $$A"}')
    assert (app.recipe, app.build) == ("FROM x\nRUN echo $A", {"dockerfile": "sandbox-web.Dockerfile"})


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        ("/etc", "what it is built from, /etc, is not in this folder"),
        ("https://e.example/x.git", "what it is built from, https://e.example/x.git, is not in this folder"),
        ("{dockerfile: ../Dockerfile}", "its Dockerfile, ../Dockerfile, is not in the folder that is built"),
        ("", "nothing builds one"),
    ],
)
def test_service_built_from_elsewhere_is_left_out_or_pulled(tmp_path: Path, build: str, reason: str) -> None:
    write(tmp_path, {"compose.yaml": f"services: {{web: {{build: {build}}}}}"})
    assert project(tmp_path).notes == (f"web is left out: it names no image, and {reason}",)
    write(tmp_path, {"compose.yaml": f"services: {{web: {{image: 'A:B:C', build: {build}}}}}"})
    (app,), notes = project(tmp_path).apps, project(tmp_path).notes
    assert (app.context, app.image) == (None, "A:B:C")
    assert notes[-1].startswith("the image of web, A:B:C, is none: ")


@pytest.mark.parametrize(
    ("settings", "command", "args", "left_out"),
    [
        ("command: run 'a b'", (), ("run", "a b"), ()),
        ("command: [run, 1]", (), ("run", "1"), ()),
        ("entrypoint: sh -c, command: [a]", ("sh", "-c"), ("a",), ()),
        ("entrypoint: [], command: [a]", ("a",), (), ()),
        ('command: "a \'b"', (), (), ("command",)),
    ],
)
def test_command_and_entrypoint_are_split(
    tmp_path: Path, settings: str, command: Any, args: Any, left_out: Any
) -> None:
    app = service(tmp_path, f"image: x, {settings}")
    assert (app.command, app.args, app.left_out) == (command, args, left_out)


@pytest.mark.parametrize(
    ("settings", "port", "more"),
    [
        ('ports: ["127.0.0.1:80:3000/tcp", 53:53/udp]', 3000, ((53, "udp"),)),
        ("ports: [{target: 80, published: 8080}, {target: 53, protocol: udp}]", 80, ((53, "udp"),)),
        ("expose: [5432]", 5432, ()),
        ("ports: [8000-8002]", 8000, ((8001, "tcp"), (8002, "tcp"))),
        ("ports: [0, 70000, x]", None, ()),
        ("ports: [5672, 15672]", 15672, ((5672, "tcp"),)),
        ("ports: [1025]", 1025, ()),
        ("ports: [10000-20000/udp]", None, ((10000, "udp"),)),
    ],
)
def test_ports_are_those_of_the_container(tmp_path: Path, settings: str, port: int | None, more: Any) -> None:
    app = service(tmp_path, f"image: x, {settings}")
    assert (app.port, app.more_ports) == (port, more)


def test_environment_is_that_of_files_and_its_own(tmp_path: Path) -> None:
    write(tmp_path, {"a.env": "A=file\nB=file\nHOME\n", ".env": "C=3\n"})
    app = service(tmp_path, "image: x, env_file: a.env, environment: {B: own, C: null, D: true, E: null, F: $G}")
    assert app.environment == {"A": "file", "B": "own", "C": "3", "D": "true", "F": ""}
    assert app.left_out == ("environment.E", "environment.HOME")
    assert project(tmp_path).notes[0] == "compose.yaml: no value in .env, so empty: G"


@pytest.mark.parametrize(
    ("check", "command", "seconds"),
    [
        ("{test: [CMD, a, b], timeout: 10s}", ("a", "b"), 10),
        ("{test: [CMD-SHELL, 'a | b'], timeout: 500ms}", ("sh", "-c", "a | b"), 5),
        ("{test: [CMD, a], timeout: 1m30s}", ("a",), 90),
        ("{test: [CMD, a], timeout: 1x}", ("a",), 30),
        ("{test: a $$b}", ("sh", "-c", "a $b"), 30),
        ("{test: [NONE]}", (), 30),
        ("{test: [CMD, a], disable: true}", (), 30),
    ],
)
def test_healthcheck_is_the_check(tmp_path: Path, check: str, command: tuple[str, ...], seconds: int) -> None:
    app = service(tmp_path, f"image: x, healthcheck: {check}")
    assert (app.check, app.check_seconds) == (command, seconds)


@pytest.mark.parametrize(
    ("user", "result", "left_out"),
    [("1000", "1000", ()), ("root:root", "0:0", ()), ("1000:100", "1000:100", ()), ("node", "", ("user",))],
)
def test_user_is_a_number_or_root(tmp_path: Path, user: str, result: str, left_out: tuple[str, ...]) -> None:
    app = service(tmp_path, f"image: x, user: '{user}'")
    assert (app.user, app.left_out) == (result, left_out)


def test_unknown_settings_are_left_out_and_extensions_ignored(tmp_path: Path) -> None:
    app = service(tmp_path, "image: x, pid: host, x-own: 1, tty: true, stdin_open: true, working_dir: /app")
    assert (app.left_out, app.terminal, app.folder) == (("pid",), ("stdin", "tty"), "/app")


def test_watched_files_are_sync_rules(tmp_path: Path) -> None:
    write(tmp_path, {"web/src/a": "", "web/conf/a": "", "web/Dockerfile": "FROM x\nCOPY . .\n", "web/go.mod": ""})
    watch = """
    build: web
    volumes: [./web/src:/srv/src, ./web/conf:/srv/conf]
    develop:
      watch:
      - {action: sync, path: ./web/src, target: /app/src/}
      - {action: sync+restart, path: web/conf, target: /app/conf}
      - {action: sync+exec, path: web/go.mod, target: /app/go.mod, exec: {command: go build}}
      - {action: rebuild, path: web/go.mod}
      - {action: sync, path: other, target: /app}
      - {action: sync, path: web/src, target: app}
"""
    app = services(tmp_path, f"  web:{watch}")["web"]
    assert app.build["sync"] == [
        {"paths": {"src": "/app/src"}},
        {"paths": {"conf": "/app/conf"}, "restart": True},
        {"paths": {"go.mod": "/app/go.mod"}, "run": ["go", "build"]},
    ]
    assert app.left_out == ("develop.watch.other", "develop.watch.web/src")


@pytest.mark.parametrize("copy", ["COPY . .", "COPY src /app/src", "ADD ./ /app/"])
def test_mounted_code_that_the_dockerfile_copies_is_synced_only(tmp_path: Path, copy: str) -> None:
    write(tmp_path, {"src/a": "", "Dockerfile": f"FROM x\nWORKDIR /app\n{copy}\n"})
    app = service(tmp_path, "build: ., volumes: ['./src:/app/src']")
    assert (app.recipe, app.build) == ("", {"sync": [{"paths": {"src": "/app/src"}}]})


def test_mounted_code_that_the_dockerfile_lacks_is_copied(tmp_path: Path) -> None:
    write(tmp_path, {"src/a": "", "Dockerfile": "FROM x AS dev\nCOPY package.json .\n"})
    app = service(tmp_path, "build: {context: ., target: dev}, volumes: ['./src:/app/src']")
    assert app.build == {"sync": [{"paths": {"src": "/app/src"}}], "dockerfile": "sandbox-web.Dockerfile"}
    assert app.recipe.endswith('FROM dev\n# What compose mounts; added by `sandbox init`.\nCOPY ["src", "/app/src"]\n')
    assert "what compose mounts is copied into the images of web: see sandbox-*.Dockerfile" in project(tmp_path).notes


def test_mounted_folder_of_a_pulled_image_makes_it_a_built_one(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/a.png").write_bytes(b"\xff\0")
    app = service(tmp_path, "image: 'nginx:1', volumes: ['./site:/srv']")
    assert (app.image, app.context, app.build["sync"]) == (None, ".", [{"paths": {"site": "/srv"}}])
    assert app.recipe.splitlines()[0] == "FROM nginx:1" and 'COPY ["site", "/srv"]' in app.recipe
