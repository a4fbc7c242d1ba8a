"""What a server's project may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.config.schema import ResolvedSpec
from sandbox.config.schema.origin_schema import Origin
from sandbox.errors import UsageError
from sandbox.mcp.agent_project import Project
from sandbox.plan import saved_spec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with a spec in a folder of its own, next to a file that is not in it."""
    (tmp_path / "private").write_text("of the user")
    folder = tmp_path / "shop" / "k8s"
    folder.mkdir(parents=True)
    (tmp_path / "shop" / ".git").mkdir()
    (folder / "app").mkdir()
    (folder / "sandbox.yaml").write_text("apply: [app]\n")
    return folder


def project(folder: Path) -> Project:
    return Project(folder / "sandbox.yaml")


def test_project_is_the_repository_of_the_spec_and_never_the_home(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project(folder).root == folder.parent
    monkeypatch.setenv("HOME", str(folder.parent))
    assert project(folder).root == folder


@pytest.mark.parametrize(
    "spec",
    [
        "apply: [../../private]",
        "cluster: {mounts: [{host: /etc, node: /host}]}",
        "cluster: {mounts: [{host: ../.., node: /host}]}",
        "credentials: [{kind: docker, file: ~/.docker/config.json}]",
        "addons: [../../addon]",
        "apply: [overlay]",
        "apply: [{chart: chart}]",
    ],
)
def test_files_outside_of_the_repository_are_refused(folder: Path, spec: str) -> None:
    (folder / "sandbox.yaml").write_text(f"{spec}\n")
    outside = folder.parent.parent
    for file, text in (
        ("overlay/kustomization.yaml", "resources: [../../../base]"),
        ("chart/Chart.yaml", "{name: web, dependencies: [{name: base, repository: 'file://../../../base'}]}"),
        (outside / "base" / "kustomization.yaml", "resources: []"),
        (outside / "base" / "Chart.yaml", "name: base"),
    ):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(text)
    with pytest.raises(UsageError, match="outside of the project"):
        project(folder).require_own_files()


def test_dependencies_of_dependencies_outside_of_the_repository_are_refused(folder: Path) -> None:
    (folder / "sandbox.yaml").write_text("apply: [{chart: chart}]\n")
    for name, places in (("chart", ["../web"]), ("web", ["../chart", "../../../base"])):
        (folder / name).mkdir(exist_ok=True)
        entries = ", ".join(f"{{name: x, repository: 'file://{place}'}}" for place in places)
        (folder / name / "Chart.yaml").write_text(f"{{name: {name}, dependencies: [{entries}]}}")
    with pytest.raises(UsageError, match="outside of the project"):
        project(folder).require_own_files()


@pytest.mark.parametrize(
    "keys",
    [
        "context: ../..",
        "context: app, dockerfile: ../../../Dockerfile",
        "context: app, secrets: ['id=npm,src=../../private']",
        "context: app, cache_to: ['type=local,dest=/var/cache']",
    ],
)
def test_builds_with_files_outside_of_the_repository_are_refused(folder: Path, keys: str) -> None:
    (folder / "sandbox.yaml").write_text("push: images.yaml\n")
    (folder / "images.yaml").write_text(f"images: [{{from: build, as: app:1, {keys}}}]\n")
    with pytest.raises(UsageError, match="outside of the project"):
        project(folder).require_own_files()


def test_files_of_the_repository_may_be_named_unless_manifests_link_out_of_it(folder: Path) -> None:
    (folder.parent / "shared").mkdir()
    (folder.parent / "python").symlink_to("/usr/bin/python3")
    (folder / "sandbox.yaml").write_text("apply: [app, ../shared]\n")
    project(folder).require_own_files()
    (folder / "app" / "link.yaml").symlink_to(folder.parent.parent / "private")
    with pytest.raises(UsageError, match="outside of the project") as caught:
        project(folder).require_own_files()
    assert "link.yaml" in caught.value.details


def test_sandbox_of_another_project_is_refused(folder: Path) -> None:
    names = context.home().sandbox("other")
    saved_spec.save(names, ResolvedSpec(name="other"))
    saved_spec.record_origin(names, Origin.of(folder.parent.parent / "other" / "sandbox.yaml"))
    (folder / "sandbox.yaml").write_text("name: other\n")
    with pytest.raises(UsageError, match="'other' was brought up from elsewhere"):
        project(folder).cluster()
