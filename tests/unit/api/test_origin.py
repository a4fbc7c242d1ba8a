"""Where a sandbox may come from: a folder, a git repository at a branch and a folder, a bundle file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sandbox.api import origin, world
from sandbox.bundle.saving import save
from sandbox.bundle.store import Store
from sandbox.errors import SandboxError, UsageError
from tests.unit.bundle.test_bundle_file import store

__all__ = ["store"]


def fetch(source: str) -> Path:
    return origin.fetch(source, world.home(), lambda line: None)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository whose branch `other` has another sandbox in a folder."""
    folder = tmp_path / "team.git"
    folder.mkdir()

    def git(*words: str) -> None:
        env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", *words], cwd=folder, check=True, env=env
        )

    git("init", "--quiet", "--initial-branch", "main")
    (folder / "sandbox.yaml").write_text("name: main\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    git("checkout", "--quiet", "-b", "other")
    (folder / "k8s").mkdir()
    (folder / "k8s" / "sandbox.yaml").write_text("name: other\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "two")
    git("checkout", "--quiet", "main")
    return folder


def test_a_folder_is_used_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "sandbox.yaml").touch()
    assert fetch(str(tmp_path)) == tmp_path / "sandbox.yaml"


@pytest.mark.parametrize(("fragment", "name"), [("", "main"), ("#main", "main"), ("#other:k8s", "other")])
def test_a_repository_is_cloned_as_it_is_now(repository: Path, fragment: str, name: str) -> None:
    source = f"file://{repository}{fragment}"
    file = fetch(source)
    assert file.read_text() == f"name: {name}\n"
    assert file.is_relative_to(world.home().projects)
    file.write_text("name: changed-here\n")
    assert fetch(source).read_text() == f"name: {name}\n"
    assert not list(world.home().projects.glob(".*.partial"))


@pytest.mark.parametrize(
    "fragment", ["#none", "#--upload-pack=touch /tmp/x", "#main:../..", "#main:/etc", "#main:none"]
)
def test_what_a_repository_has_not_is_said(repository: Path, fragment: str) -> None:
    with pytest.raises(UsageError):
        fetch(f"file://{repository}{fragment}")


@pytest.mark.parametrize("source", ["nowhere", "ext::sh -c touch% /tmp/x", "--upload-pack=x", "", "https://"])
def test_what_is_no_source_is_refused(source: str) -> None:
    with pytest.raises(UsageError):
        fetch(source)


def test_a_bundle_brings_its_project_and_its_components(store: Store, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "k8s").mkdir(parents=True)
    (project / "sandbox.yaml").write_text("name: demo\napply: [k8s/]\n")
    (project / "k8s" / "a b.yaml").write_text("kind: x\n")
    save(file := tmp_path / "demo.bundle", store, project=("demo", project))
    found = fetch(str(file))
    assert found.read_text() == "name: demo\napply: [k8s/]\n"
    assert (found.parent / "k8s" / "a b.yaml").exists()
    assert Store(world.home().bundle).root.glob("node-*")
    assert fetch(str(file)) == found


def test_a_bundle_without_a_project_says_so(store: Store, tmp_path: Path) -> None:
    save(file := tmp_path / "plain.bundle", store)
    with pytest.raises(SandboxError, match="holds no sandbox") as caught:
        fetch(str(file))
    assert "bundle load" in caught.value.fix
