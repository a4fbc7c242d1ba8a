"""One service of a compose file as a program, with its volumes, secrets and configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.init.compose import volumes
from sandbox.init.compose.volumes import MAX_BYTES, MAX_FILES, Volumes
from sandbox.init.detected import App, Mount
from tests.support.project_folder import project, services, write


def service(folder: Path, settings: str) -> App:
    """Return the program of the service `web`."""
    return services(folder, f"  web: {{{settings}}}")["web"]


def test_built_service_has_its_build_options(tmp_path: Path) -> None:
    write(tmp_path, {"web/Dockerfile": "FROM x", ".env": "B=2\n"})
    app = service(
        tmp_path,
        "image: acme/web:1, build: {context: ./web, dockerfile: ./Dev, target: dev, args: [A=1, B, C],"
        " secrets: [npm], network: host, cache_from: [x], x-own: 1}",
    )
    assert (app.context, app.image, app.names) == ("web", None, ("acme/web:1",))
    assert app.build == {"dockerfile": "Dev", "target": "dev", "args": {"A": "1", "B": "2"}}
    assert app.left_out == ("build.args.C", "build.network", "build.secrets")
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
    write(tmp_path, {"compose.yaml": f"services: {{web: {{image: 'y:1', build: {build}}}}}"})
    (app,) = project(tmp_path).apps
    assert (app.context, app.image) == (None, "y:1")


NOTHING = {"cpu": "0", "memory": "0"}


@pytest.mark.parametrize(
    ("settings", "program"),
    [
        ("command: run 'a b'", {"args": ("run", "a b")}),
        ("command: [run, 1]", {"args": ("run", "1")}),
        ("entrypoint: sh -c, command: [a]", {"command": ("sh", "-c"), "args": ("a",)}),
        ("entrypoint: [], command: [a]", {"command": ("a",)}),
        ('command: "a \'b"', {"left_out": ("command",)}),
        ('ports: ["127.0.0.1:80:3000/tcp", 53:53/udp]', {"port": 3000, "more_ports": ((53, "udp"),)}),
        (
            "ports: [{target: 80, published: 8080}, {target: 53, protocol: udp}]",
            {"port": 80, "more_ports": ((53, "udp"),)},
        ),
        ("expose: [5432]", {"port": 5432}),
        ("ports: [8000-8002]", {"port": 8000, "more_ports": ((8001, "tcp"), (8002, "tcp"))}),
        ("ports: [0, 70000, x]", {"left_out": ("ports.0", "ports.70000", "ports.x")}),
        ("ports: [5672, 15672]", {"port": 15672, "more_ports": ((5672, "tcp"),)}),
        ("ports: [10000-20000/udp]", {"more_ports": ((10000, "udp"),), "left_out": ("ports.10000-20000",)}),
        ("healthcheck: {test: [CMD, a, b], timeout: 10s}", {"check": ("a", "b")}),
        ("healthcheck: {test: [CMD-SHELL, 'a | b']}", {"check": ("sh", "-c", "a | b")}),
        ("healthcheck: {test: a $$b}", {"check": ("sh", "-c", "a $b")}),
        ("healthcheck: {test: [CMD, a], disable: true}", {}),
        ("user: root:root", {"user": "0:0"}),
        ("user: '1000:100'", {"user": "1000:100"}),
        ("user: node", {"left_out": ("user",)}),
        ("pid: host, cap_add: [ALL], x-own: 1", {"left_out": ("cap_add", "pid")}),
        ("tty: true, working_dir: /app", {"terminal": ("tty",), "folder": "/app"}),
        (
            "cpus: 0.5, mem_limit: 1g",
            {"resources": {"limits": {"cpu": "500m", "memory": "1024Mi"}, "requests": NOTHING}},
        ),
        (
            "deploy: {resources: {limits: {cpus: '2', memory: '1000'}}}",
            {"resources": {"limits": {"cpu": "2000m", "memory": "1000"}, "requests": NOTHING}},
        ),
        ("deploy: {resources: {reservations: {cpus: '1'}}}", {"left_out": ("deploy.resources.reservations",)}),
        ("deploy: {resources: {limits: {pids: 9}}}", {"left_out": ("deploy.resources.limits.pids",)}),
        ("cpus: many, mem_limit: much", {}),
        ("cpus: inf", {}),
        ("deploy: {resources: {limits: {cpus: null}}}", {}),
        ("scale: 2", {"replicas": 2}),
        ("deploy: {replicas: 0}", {"replicas": 0}),
        ("scale: x", {}),
    ],
)
def test_program_has_the_settings_of_its_service(tmp_path: Path, settings: str, program: dict[str, Any]) -> None:
    assert service(tmp_path, f"image: x, {settings}") == App("web", image="x", **program)


def test_environment_is_that_of_files_and_its_own(tmp_path: Path) -> None:
    write(tmp_path, {"a.env": "A=file\nB=file\nHOME\n", ".env": "C=3\n"})
    app = service(tmp_path, "image: x, env_file: a.env, environment: {B: own, C: null, D: true, E: null, F: $G}")
    assert app.environment == {"A": "file", "B": "own", "C": "3", "D": "true", "F": ""}
    assert app.left_out == ("environment.E", "environment.HOME")
    assert project(tmp_path).notes[0] == "compose.yaml: no value in .env, so empty: G"


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


def sort(folder: Path, *entries: Any, context: str | None = None) -> tuple[Volumes, list[str]]:
    service, left_out = {"volumes": list(entries)}, list[str]()
    names = volumes.claims([service], folder)
    return volumes.sort(service, folder, context, names, left_out), left_out


@pytest.mark.parametrize(
    ("entry", "claim"),
    [
        ("Data:/data", "data"),
        ("./absent:/data:rw", "absent"),
        ({"type": "bind", "source": "./empty", "target": "/data"}, "empty"),
        ("/srv/shop:/data", "srv-shop"),
    ],
)
def test_volumes_and_empty_folders_are_claims(tmp_path: Path, entry: Any, claim: str) -> None:
    write(tmp_path, {"empty/.gitkeep": ""})
    assert sort(tmp_path, entry) == (Volumes(claims={"/data": claim}), [])


def test_places_that_a_build_fills_have_no_claim(tmp_path: Path) -> None:
    filled = ("modules:/app/node_modules", "modules:/srv/vendor/", "/data", {"type": "volume", "target": "/data"})
    assert sort(tmp_path, *filled, context=".") == (Volumes(), [])


def test_text_files_of_a_compose_service_are_mounted_at_their_paths(tmp_path: Path) -> None:
    write(tmp_path, {"nginx.conf": "a", "conf/sub/b.conf": "b", "conf/c.conf": "c"})
    placed, _ = sort(tmp_path, "./nginx.conf:/etc/nginx.conf:ro", "./conf:/etc/conf")
    assert placed.mounts == [
        Mount("/etc/nginx.conf", {"nginx.conf": "a"}, single=True),
        Mount("/etc/conf", {"c.conf": "c", "sub/b.conf": "b"}),
    ]


@pytest.mark.parametrize("content", [b"\xff\0", b"a\0", b"a" * (MAX_BYTES + 1), None])
def test_folder_that_no_configmap_holds_is_copied_into_a_pulled_image(tmp_path: Path, content: bytes | None) -> None:
    write(tmp_path, {f"site/{number}": "" for number in range(1 if content else MAX_FILES + 1)})
    (tmp_path / "site/0").write_bytes(content or b"")
    assert sort(tmp_path, "./site:/srv/") == (Volumes(copied={"site": "/srv"}), [])
    assert sort(tmp_path, "./site:/srv/", context="web") == (Volumes(), ["volumes.site"])


@pytest.mark.parametrize("source", ["/var/run/docker.sock", "~/.aws", "../outside", "/proc", "./link"])
def test_folder_elsewhere_on_the_machine_is_left_out(tmp_path: Path, source: str) -> None:
    write(tmp_path, {"outside/a": "a", "root/b": "b"})
    (tmp_path / "root/link").symlink_to(tmp_path / "outside")
    assert sort(tmp_path / "root", f"{source}:/x")[1] == [f"volumes.{source.removeprefix('./')}"]
    assert sort(tmp_path, {"type": "tmpfs", "target": "/x"})[1] == ["volumes./x"]


def test_secrets_and_configs_are_mounted_at_their_places(tmp_path: Path) -> None:
    write(tmp_path, {"key.txt": "k"})
    left_out: list[str] = []
    secrets = {"Key": {"file": "key.txt"}, "token": {"environment": "TOKEN"}, "out": {"file": "../x"}}
    defined: dict[str, dict[str, Any]] = {"secrets": secrets, "configs": {"conf": {"content": "c"}}}
    named = ["Key", {"source": "token", "target": "/t", "mode": 0o400}, "out", "none"]
    service = {"secrets": named, "configs": ["conf"]}
    mounts = list(volumes.secrets(service, defined, tmp_path, {"TOKEN": "t"}, left_out))
    assert mounts == [
        Mount("/run/secrets/Key", {"key": "k"}, single=True, name="key", secret=True),
        Mount("/t", {"token": "t"}, single=True, name="token", secret=True),
        Mount("/conf", {"conf": "c"}, single=True, name="conf"),
    ]
    assert left_out == ["secrets.token.mode", "secrets.out", "secrets.none"]
