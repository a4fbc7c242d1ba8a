"""A service of a compose file is a program with what it runs, listens at and mounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.init.compose.service import PING
from sandbox.init.kubernetes_objects import RESTRICTED, manifest
from tests.support.project_folder import apps, load, look, services, write

STAGES = "FROM python AS base\nRUN pip\nFROM base AS dev\nCMD x\nFROM base AS final\nCOPY --chown=1 . .\nCMD y\n"


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
    found, notes = load(write(tmp_path, compose_yaml=f"services: {{web: {said}, db: {{image: x}}}}"))
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
    _, notes = load(write(tmp_path, compose_yaml=f"services: {{web: {{image: '{image}'}}}}"))
    assert [fault in one for one in notes] == ([True] if fault else [])


def test_text_that_kubectl_reads_as_a_number_is_quoted(tmp_path: Path) -> None:
    """Go's YAML takes more for numbers than PyYAML; in a variable's value, the cluster refuses them."""
    text = "services: {web: {image: x, environment: {A: '1e3', B: '0o17', C: 'y', D: '5', E: ''}}}"
    written = manifest(apps(tmp_path, compose_yaml=text)["web"], image="x", host=None)
    assert [line.strip() for line in written.splitlines() if "value:" in line] == [
        f'value: "{one}"' for one in ("1e3", "0o17", "y", "5", "")
    ]


@pytest.mark.parametrize(
    ("settings", "ports"),
    [
        ('ports: ["8025:8025", "1025:1025"]', ["main 8025", "tcp-1025 1025"]),
        (
            'ports: ["9001-9002:80-81", "53:53/udp"], expose: [80, 82]',
            ["main 80", "tcp-81 81", "udp-53 53", "tcp-82 82"],
        ),
        ('ports: ["53:53/udp", "53:53"]', ["main 53", "udp-53 53"]),
        ('ports: ["5300:53/UDP", "54/TCP"]', ["main 54", "udp-53 53"]),
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


@pytest.mark.parametrize(
    ("settings", "container", "left_out"),
    [
        (
            "working_dir: /app, user: 1000",
            {"workingDir": "/app", "securityContext": {"runAsUser": 1000, **RESTRICTED}},
            (),
        ),
        ("user: 0", {"securityContext": {"runAsUser": 0}}, ()),
        ("user: '1:2'", {"securityContext": {"runAsUser": 1, "runAsGroup": 2, **RESTRICTED}}, ()),
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
    (app,), _ = load(tmp_path / "compose.yaml")
    deployment, _ = yaml.safe_load_all(manifest(app, image="web", host=None))
    made = deployment["spec"]["template"]["spec"]["containers"][0]
    assert {key: value for key, value in made.items() if key not in ("name", "image", "resources")} == container
    assert app.left_out == left_out


def test_folders_and_images_named_by_the_shell_are_told(tmp_path: Path) -> None:
    """`${HOME}/.aws` is a folder of this machine, no named volume; an image with `$` in its name is not pulled."""
    text = "services: {a: {image: 'a:${TAG:?}', volumes: ['${HOME}/.aws:/aws', '$SRC:/app', 'data:/data']}}"
    (tmp_path / "compose.yaml").write_text(text)
    (app,), notes = load(tmp_path / "compose.yaml")
    assert (app.claims, app.left_out) == ({"/data": "data"}, ("volumes.$SRC", "volumes.${HOME}/.aws"))
    assert notes == ["the image of a, a:${TAG:?}, has a variable without a value: give it one in .env or its manifest"]


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        ("labels: {traefik.http.services.a.loadbalancer.server.port: 8000}", 8000),
        ("labels: ['traefik.enable=true', 'traefik.http.services.${X}-a.loadbalancer.server.port=8000']", 8000),
        ("environment: {VIRTUAL_HOST: a.example, VIRTUAL_PORT: 3000}", 3000),
        ("environment: {VIRTUAL_PORT: 3000}, ports: ['1:80']", 80),
        (
            "labels: {traefik.http.services.a.loadbalancer.server.port: '${P}'}, environment: {VIRTUAL_PORT: 99999}",
            None,
        ),
    ],
)
def test_port_that_a_proxy_is_told_is_known(tmp_path: Path, settings: str, port: int | None) -> None:
    assert services(tmp_path, f"  a: {{image: a, {settings}}}\n")["a"].port == port


def test_a_compose_service_is_taken_with_what_it_runs(tmp_path: Path) -> None:
    text = """
services:
  db:
    image: postgres:17-alpine
    env_file: [db.env, {path: absent.env, required: false}]
    environment: {POSTGRES_DB: shop}
    command: postgres -c 'max_connections=50'
    healthcheck: {test: [CMD-SHELL, "pg_isready -U $$USER"]}
  job:
    build: {context: job, target: dev, args: [A=1, B, "C=${C}"]}
    entrypoint: [run, it]
    healthcheck: {disable: true}
    image: acme/job:1
  extra: {image: x, profiles: [debug]}
"""
    write(tmp_path, **{"compose.yaml": text, "db.env": "# no\nexport A='one two'\nB=3\nPOSTGRES_DB=x\n"})
    found = look(tmp_path)
    db, job = found.apps
    assert (db.port, db.args) == (5432, ("postgres", "-c", "max_connections=50"))
    assert db.environment == {"A": "one two", "B": "3", "POSTGRES_DB": "shop"}
    assert db.check == ("sh", "-c", "pg_isready -U $USER")
    assert (job.command, job.check, job.names) == (("run", "it"), (), ("acme/job:1",))
    assert (job.build, job.left_out) == ({"target": "dev", "args": {"A": "1"}}, ("build.args.B", "build.args.C"))
    assert found.notes == (
        "compose.yaml: extra left out, since only a profile starts them: add --profile debug",
        "job/ is built, and not in this folder: fetch it before `sandbox up`",
    )


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [("timeout: 1m30s", 90), ("timeout: 2500ms", 5), ("timeout: 8.2s", 9), ("retries: 3", 30), ("timeout: soon", 30)],
)
def test_a_check_may_take_as_long_as_in_compose(tmp_path: Path, timeout: str, seconds: int) -> None:
    """A slow check that compose waits for would otherwise never be ready."""
    write(tmp_path, **{"compose.yaml": f"services: {{a: {{image: x, healthcheck: {{test: [CMD, b], {timeout}}}}}}}\n"})
    (app,) = look(tmp_path).apps
    assert (app.check, app.check_seconds) == (("b",), seconds)


@pytest.mark.parametrize(
    ("test", "check"),
    [
        ("[CMD, mysqladmin, ping, '-p${DB_PASSWORD}']", ("mysqladmin", "ping", "-p")),
        ("pg_isready -U $ABSENT -d $$DB", ("sh", "-c", "pg_isready -U  -d $DB")),
    ],
)
def test_check_has_variables_without_a_value_empty(tmp_path: Path, test: str, check: tuple[str, ...]) -> None:
    """Laravel's Sail asks MySQL so before there is an .env."""
    write(tmp_path, compose_yaml=f"services: {{a: {{image: x, healthcheck: {{test: {test}}}}}}}")
    (app,) = look(tmp_path).apps
    assert app.check == check


def test_volumes_of_a_compose_service_are_told_apart(tmp_path: Path) -> None:
    text = """\
services:
  web:
    build: {context: web, target: dev}
    volumes: ["./web:/usr/src/app", "/usr/src/app/node_modules"]
  db:
    image: postgres:17
    volumes:
    - data:/var/lib/postgresql/data
    - {type: bind, source: ./checks, target: /checks}
    - ./init.sql:/docker-entrypoint-initdb.d/init.sql:ro
    - /var/run/docker.sock:/sock
    - ./absent.conf:/etc/absent.conf
  copy: {image: postgres:17, volumes: ["data:/data"]}
"""
    write(tmp_path, web__Dockerfile=STAGES, **{"compose.yaml": text, "checks/a.sh": "true\n", "init.sql": "select 1\n"})
    found = look(tmp_path)
    web, db, copy = found.apps
    assert web.build["sync"] == [{"paths": {".": "/usr/src/app"}}] and not web.left_out
    assert (db.claims, db.volumes) == ({"/var/lib/postgresql/data": "data"}, ("data",))
    assert (copy.claims, copy.volumes) == ({"/data": "data"}, ())
    checks, init = db.mounts
    assert (checks.place, checks.files, checks.single) == ("/checks", {"a.sh": "true\n"}, False)
    assert (init.place, init.files, init.single) == (
        "/docker-entrypoint-initdb.d/init.sql",
        {"init.sql": "select 1\n"},
        True,
    )
    assert db.left_out == ("volumes./var/run/docker.sock", "volumes.absent.conf")


def test_stage_that_has_the_code_is_built(tmp_path: Path) -> None:
    text = "services: {web: {build: {context: web, target: final}, volumes: ['./web/src:/app/src']}}"
    write(tmp_path, web__Dockerfile=STAGES, **{"compose.yaml": text, "web/src/a.py": ""})
    (web,) = look(tmp_path).apps
    assert web.build == {"target": "final", "sync": [{"paths": {"src": "/app/src"}}]}


@pytest.mark.parametrize(
    ("said", "check"),
    [
        ("image: 'docker.io/library/mariadb:11'", ("sh", "-c", PING)),
        ("image: mysql", ("sh", "-c", PING)),
        ("image: mysql, healthcheck: {test: [CMD, mysqladmin, ping]}", ("mysqladmin", "ping")),
        ("image: mysql, healthcheck: {disable: true}", ()),
        ("image: mysql, build: .", ()),
        ("image: postgres", ()),
    ],
)
def test_mysql_is_asked_in_its_own_words(tmp_path: Path, said: str, check: tuple[str, ...]) -> None:
    """A connection that says nothing, as of a probe each second, is a warning in its log each time."""
    assert services(tmp_path, f"  db: {{{said}}}")["db"].check == check
