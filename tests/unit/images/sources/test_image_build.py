"""Images are built by BuildKit where the docker CLI has it, with what images.yaml says, else by `docker build`."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.engine import EngineError
from sandbox.errors import MissingTool
from sandbox.images import images_yaml
from sandbox.images.images_yaml import FromBuild, FromDaemon
from sandbox.images.progress import Observer
from sandbox.images.push import PushFailed, push
from sandbox.images.sources import image_build
from sandbox.oci.reference import parse_target
from tests.support.images import FakeEngine, TestImage, layer
from tests.support.programs import make_program
from tests.support.registry_simulator import Simulator

RUN_BUILDER = image_build.run_builder  # the fixtures replace it
KEYS = """
  dockerfile: docker/Dev
  args: {VERSION: "1", EMPTY: ""}
  target: slim
  platforms: [linux/amd64]
"""
MORE = """
  secrets: ["id=npm,src=.npmrc", "id=token,env=TOKEN"]
  ssh: [default]
  cache_from: ["type=local,src=cache"]
  cache_to: ["type=local,dest=cache"]
"""
Docker = Callable[[str], Path]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """A docker CLI that notes its arguments and folder and then does as told; gives the file with the notes."""

    def made(script: str) -> Path:
        folder, notes = tmp_path / "bin", tmp_path / "notes"
        folder.mkdir()
        make_program(folder / "docker", f'[ "$2" = version ] || {{ pwd; printf "%s\\n" "$@"; }} > {notes}\n{script}')
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.setattr(image_build, "run_builder", RUN_BUILDER)
        image_build.has_buildkit.cache_clear()
        return notes

    return made


def entry_of(folder: Path, more: str = "") -> FromBuild:
    (folder / "app").mkdir(exist_ok=True)
    (folder / "app/Dockerfile").write_text("FROM scratch\n")
    path = folder / "images.yaml"
    path.write_text(f"images:\n- from: build\n  context: app\n  as: app:dev\n{more}")
    (entry,) = images_yaml.load(path)
    assert isinstance(entry, FromBuild)
    return entry


def test_buildkit_gets_all_that_the_manifest_says(tmp_path: Path, docker: Docker) -> None:
    notes = docker(f"env > {tmp_path}/environment")
    image_build.build(entry_of(tmp_path, KEYS + MORE), FakeEngine({}), lambda _: None)
    environment = (tmp_path / "environment").read_text().splitlines()
    assert {"BUILDX_GIT_INFO=false", "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "BUILDKIT_PROGRESS=plain"} <= set(environment)
    folder, *argv = notes.read_text().splitlines()
    assert folder == str(tmp_path)
    assert argv == [
        *("buildx", "build", "--load", f"--tag={entry_of(tmp_path).engine_name}"),
        f"--file={tmp_path}/app/docker/Dev",
        *("--target=slim", "--platform=linux/amd64", "--build-arg=VERSION=1", "--build-arg=EMPTY="),
        *("--secret=id=npm,src=.npmrc", "--secret=id=token,env=TOKEN", "--ssh=default"),
        *("--cache-from=type=local,src=cache", "--cache-to=type=local,dest=cache", "--", f"{tmp_path}/app"),
    ]


def test_the_bundles_buildx_builds_where_the_docker_cli_has_none(tmp_path: Path, docker: Docker) -> None:
    docker("exit 1")
    program = make_program(tmp_path / "buildx", f'printf "%s\\n" "$@" > {tmp_path}/notes')
    engine = FakeEngine({})
    image_build.build(entry_of(tmp_path), engine, lambda _: None, program)
    assert (tmp_path / "notes").read_text().splitlines()[:2] == ["build", "--load"]
    name = entry_of(tmp_path).engine_name
    assert re.fullmatch(r"sandbox\.dev/built/[a-z0-9-]+-[0-9a-f]{8}/app:dev", name)
    assert (engine.built, engine.named) == ([], [(name, name)])


def test_buildkit_image_is_pushed_and_its_progress_shown(registry: Simulator, tmp_path: Path, docker: Docker) -> None:
    class Telling(Observer):
        told: list[str] = []

        def building(self, target: str) -> None:
            self.told.append(target)

    docker('[ "$2" = version ] || echo "#5 RUN make"')
    engine = FakeEngine({entry_of(tmp_path).engine_name: TestImage((layer(1),), "app")})
    (result,) = push([entry_of(tmp_path)], registry.url, engine, Telling())
    assert (result.target, engine.built) == ("app:dev", [])
    assert Telling.told == ["app:dev", "app:dev: #5 RUN make"]


OUTPUT = """\
#8 0.2 of another step
------
 > [build 2/3] RUN make:
0.100 main.c:1: error: expected declaration
------
Dockerfile:3
--------------------
   3 | >>> RUN make
--------------------
ERROR: failed to solve: process "/bin/sh -c make" did not complete successfully: exit code: 2
"""


def test_error_of_a_failed_image_build_quotes_the_failed_step_of_the_dockerfile(
    registry: Simulator, tmp_path: Path, docker: Docker
) -> None:
    (tmp_path / "output").write_text(OUTPUT)
    docker(f'[ "$2" = version ] && exit 0; cat {tmp_path}/output; exit 1')
    with pytest.raises(PushFailed) as caught:
        push([entry_of(tmp_path)], registry.url, FakeEngine({}))
    assert " > [build 2/3] RUN make:\n0.100 main.c:1: error" in caught.value.details
    assert "exit code: 2" in caught.value.details
    assert caught.value.fix == image_build.FIX


def test_builds_run_at_once_and_fail_alone(tmp_path: Path) -> None:
    met = threading.Barrier(2, timeout=30)

    class Meeting(FakeEngine):
        def build(self, context: Path, tag: str) -> None:
            met.wait()
            if tag.endswith("bad:dev"):
                raise EngineError("building failed")

    entries = [FromBuild(parse_target(name), tmp_path) for name in ("bad:dev", "good:dev")]
    made = image_build.build_all(entries, Meeting({}), lambda _: None)
    assert isinstance(made[entries[0].target], EngineError)
    assert made[entries[1].target] == FromDaemon(entries[1].target, entries[1].engine_name)


def made_from_another(folder: Path) -> list[FromBuild]:
    """An image `base:1`, and one that is made from it."""
    for name, text in {"base": "FROM scratch\n", "top": "FROM base:1\n"}.items():
        (folder / name).mkdir()
        (folder / name / "Dockerfile").write_text(text)
    return [FromBuild(parse_target(f"{name}:1"), folder / name, folder=folder) for name in ("top", "base")]


class Noting(FakeEngine):
    """An engine that notes whether it has an image `base:1` when it builds."""

    def build(self, context: Path, tag: str) -> None:
        self.saves.append((context.name, str("base:1" in self.images)))
        super().build(context, tag)


def test_image_that_others_are_made_from_has_its_name_meanwhile(tmp_path: Path) -> None:
    entries, engine = made_from_another(tmp_path), Noting({})
    made = image_build.build_all(entries, engine, lambda _: None)
    assert engine.saves == [("base", "False"), ("top", "True")]
    assert made == {one.target: FromDaemon(one.target, one.engine_name) for one in entries}
    assert engine.images.keys() == {one.engine_name for one in entries}


@pytest.mark.security(17)
def test_build_takes_no_name_from_an_image_of_the_user(tmp_path: Path) -> None:
    """images.yaml builds `as: base:1`, and the user has another base:1 → it stays, and what needs it fails by name."""
    entries, users = made_from_another(tmp_path), TestImage((layer(1),), label="the user's own")
    engine = Noting({"base:1": users})
    top, base = entries
    made = image_build.build_all(entries, engine, lambda _: None)
    assert engine.images["base:1"] == users and isinstance(made[base.target], FromDaemon)
    error = made[top.target]
    assert isinstance(error, EngineError) and "another image called base:1" in error.brief
    assert engine.saves == [("base", "True")]


@pytest.mark.parametrize(
    ("script", "podman"), [("exit 1", False), ("echo unknown command; exit 125", False), ("", True)]
)
def test_docker_build_is_used_without_buildkit_and_with_podman(
    tmp_path: Path, docker: Docker, script: str, podman: bool
) -> None:
    notes = docker(f'[ "$2" != version ] || {{ {script or "true"}; }}; env > {tmp_path}/environment')
    image_build.build(entry_of(tmp_path, KEYS), FakeEngine({}, is_podman=podman), lambda _: None)
    assert notes.read_text().splitlines()[1:] == [
        *("build", f"--tag={entry_of(tmp_path).engine_name}", f"--file={tmp_path}/app/docker/Dev"),
        *("--target=slim", "--platform=linux/amd64", "--build-arg=VERSION=1", "--build-arg=EMPTY="),
        *("--", f"{tmp_path}/app"),
    ]
    assert ("DOCKER_BUILDKIT=0" in (tmp_path / "environment").read_text().splitlines()) is podman


def test_build_that_fails_without_buildkit_says_what_to_install(tmp_path: Path, docker: Docker) -> None:
    docker("echo unknown flag: --secret; exit 125")
    with pytest.raises(EngineError) as caught:
        image_build.build(entry_of(tmp_path, MORE), FakeEngine({}), lambda _: None)
    assert "unknown flag: --secret" in caught.value.details and "docker-buildx" in caught.value.fix


def test_build_without_docker_says_what_to_install(
    tmp_path: Path, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker("")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match="docker is not installed") as caught:
        image_build.build(entry_of(tmp_path), FakeEngine({}), lambda _: None)
    assert "install the docker CLI" in caught.value.fix


def test_arguments_are_a_list_as_in_compose_too(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, "  args: [A=1, B=x=y]\n")
    assert json.dumps(entry.args) == '[["A", "1"], ["B", "x=y"]]'
