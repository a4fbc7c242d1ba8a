"""The package as a user gets it: a small wheel that works in an environment with nothing else in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import sandbox
from sandbox.bundle.recipe import recipes
from tests.real import machine

pytestmark = [pytest.mark.real, pytest.mark.nightly]

ROOT = Path(__file__).parents[2]
LARGEST = 1_600_000  # bytes; a ninth of it are checksums of Go modules, the rest is code


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that no remains of other builds get into it."""
    copy = tmp_path_factory.mktemp("source") / "project"
    shutil.copytree(ROOT / "sandbox", copy / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    into = copy.with_name("wheels")
    patiently(sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--wheel-dir", into, copy)
    (made,) = into.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `sandbox` of an environment that has the wheel and what it requires."""
    place = tmp_path_factory.mktemp("environment")
    uv("venv", "--quiet", "--python", sys.executable, place)
    uv("pip", "install", "--quiet", "--python", place / "bin" / "python", wheel)
    return place / "bin" / "sandbox"


def uv(*words: str | Path) -> None:
    """Run uv, which installs in seconds what pip needs a minute for; pip is tried by pipx."""
    patiently(sys.executable, "-m", "uv", "--no-config", *words)


def patiently(*argv: str | Path, env: Mapping[str, str] | None = None) -> None:
    """Packages come over a network, which has its own idea of time."""
    done = subprocess.run(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == 0, done.stdout


def run(program: Path, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *words],
        capture_output=True,
        text=True,
        cwd=program.parent,  # not where the sources are
        env={**os.environ, **(env or {})},
        timeout=120,
    )


def test_the_wheel_is_small_and_has_no_tests(wheel: Path) -> None:
    assert wheel.name.startswith(f"kube_sandbox-{sandbox.__version__}-")
    assert wheel.stat().st_size <= LARGEST
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"sandbox", "kube_sandbox"}
    assert "sandbox/py.typed" in names


def test_package_runs_without_anything_else_installed(installed: Path) -> None:
    help_ = run(installed, "--help")
    assert help_.returncode == 0 and "push-images" in help_.stdout
    assert run(installed, "--version").stdout.split()[-1] == sandbox.__version__
    imported = run(installed.with_name("python"), "-c", "from sandbox import Sandbox; print(Sandbox.__name__)")
    assert imported.stdout == "Sandbox\n", imported.stderr


def test_package_recipes_equal_the_sources(installed: Path, tmp_path: Path) -> None:
    listed = run(installed, "bundle", "list", "-o", "json", env={"XDG_STATE_HOME": str(tmp_path)})
    assert {one["name"]: one["digest"] for one in json.loads(listed.stdout)} == {
        name: recipe.digest for name, recipe in recipes().items()
    }


@pytest.mark.parametrize(
    ("words", "homes"),
    [
        (("pipx", "install"), {"PIPX_HOME": "home", "PIPX_BIN_DIR": "bin", "PIPX_MAN_DIR": "man"}),
        (("uv", "tool", "install"), {"UV_TOOL_DIR": "home", "UV_TOOL_BIN_DIR": "bin"}),
    ],
    ids=["pipx", "uv"],
)
def test_package_installs_as_a_tool(
    words: Sequence[str], homes: Mapping[str, str], wheel: Path, tmp_path: Path
) -> None:
    env = {variable: str(tmp_path / folder) for variable, folder in homes.items()}
    patiently(sys.executable, "-m", *words, wheel, env=env)
    assert run(tmp_path / "bin" / "sandbox", "--version").stdout.split()[-1] == sandbox.__version__


def test_package_plans_a_sandbox(installed: Path, tmp_path: Path) -> None:
    machine.engine()
    env = {"XDG_STATE_HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "kubeconfig")}
    options = ["--plan", "--https-port", "auto", "--registry-port", "auto"]
    planned = run(installed, "up", "test-package", *options, env=env)
    assert planned.returncode == 0, planned.stderr
    assert "Cluster sandbox-test-package" in planned.stdout
    assert not (tmp_path / "kubeconfig").exists()
