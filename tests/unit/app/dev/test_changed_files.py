"""Which work a set of changed files asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.app.dev.changed_files import MOST_COPIED, DevWork, Project
from sandbox.images.images_yaml import Entry, FromArchive, FromBuild, FromRegistry
from sandbox.images.sync_rules import SyncRule
from sandbox.oci import reference
from sandbox.oci.reference import Target
from sandbox.oci.reference import parse_target as parse

ROOT = Path("/p")
RULE = SyncRule(paths={"site": "/site"}, run=("touch", "/x"))
API = FromBuild(parse("api:dev"), ROOT / "api")
WEB = FromBuild(parse("web:dev"), ROOT / "web", sync=(RULE,))
DISK = FromArchive(parse("disk:1"), ROOT / "disk.tar")
OTHER = FromRegistry(parse("redis:7"), reference.parse("redis:7"))
PROJECT = Project(
    spec=(ROOT / "sandbox.yaml", ROOT / "images.yaml"),
    entries=(API, WEB, DISK, OTHER),
    manifests=(ROOT / "k8s", ROOT / "base"),
    written=(ROOT / "images.lock.yaml",),
    excluded={API.target: lambda name: name.startswith("docs/")},
)


def targets(entries: tuple[Entry, ...]) -> list[str]:
    return [str(one.target) for one in entries]


def work(*paths: str) -> DevWork:
    return PROJECT.work([ROOT / path for path in paths])


def test_the_spec_or_images_yaml_asks_for_a_whole_up() -> None:
    assert work("images.yaml", "api/a.py") == DevWork(spec=True)


def test_a_file_of_a_context_asks_for_its_image_alone() -> None:
    assert targets(work("api/a.py").images) == ["api:dev"]
    assert not work("api/a.py").manifests


def test_a_context_that_was_exchanged_asks_for_its_image() -> None:
    assert targets(work("api").images) == ["api:dev"]
    assert targets(work("web").images) == ["web:dev"]


@pytest.mark.parametrize("path", ["api", "api/.dockerignore", "web/Dockerfile", "web/Dockerfile.dockerignore"])
def test_files_that_say_which_others_count_are_told(path: str) -> None:
    assert PROJECT.is_defined_by(ROOT / path)


@pytest.mark.parametrize("path", ["api/a.py", "api/docs/Dockerfile", "k8s/Dockerfile"])
def test_other_files_do_not_say_which_others_count(path: str) -> None:
    assert not PROJECT.is_defined_by(ROOT / path)


def test_an_archive_that_was_written_again_is_pushed() -> None:
    assert targets(work("disk.tar").images) == ["disk:1"]


def test_manifests_ask_to_be_applied() -> None:
    assert work("k8s/deep/web.yaml") == DevWork(manifests=True)


@pytest.mark.parametrize(
    "path",
    [
        "api/docs/a.md",  # .dockerignore
        "api/.git/index",
        "api/__pycache__/a.pyc",
        "api/.a.py.swp",
        "api/a.py~",
        "api/4913",
        "images.lock.yaml",
        "elsewhere/a.py",
    ],
)
def test_file_of_no_image_causes_no_work(path: str) -> None:
    assert not work(path)


def test_ignored_build_file_still_causes_a_build() -> None:
    project = Project(entries=(API,), excluded={API.target: lambda _: True})
    assert targets(project.work([API.context / "Dockerfile", API.context / "b"]).images) == ["api:dev"]
    assert not project.work([API.context / "b"])


def test_a_file_with_a_rule_is_copied_without_a_build() -> None:
    (copied,) = work("web/site/index.html").copied
    assert (copied.entry, copied.files, copied.rules) == (
        WEB,
        {ROOT / "web/site/index.html": "/site/index.html"},
        (RULE,),
    )
    assert work("web/site/index.html").images == ()


def test_one_file_without_a_rule_builds_the_whole_image() -> None:
    assert targets(work("web/site/index.html", "web/main.py").images) == ["web:dev"]


def test_a_rule_for_all_leaves_the_dockerfile_to_the_build() -> None:
    entry = FromBuild(parse("a:1"), ROOT / "a", sync=(SyncRule(paths={".": "/app"}),), dockerfile="dev.Dockerfile")
    project = Project(entries=(entry,))
    assert project.work([ROOT / "a/dev.Dockerfile"]).images == (entry,)
    assert project.work([ROOT / "a/main.py"]).copied


def test_very_many_files_are_built() -> None:
    paths = [f"web/site/{number}" for number in range(MOST_COPIED + 1)]
    assert targets(work(*paths).images) == ["web:dev"]


def test_work_that_failed_is_done_together_with_the_next() -> None:
    both = work("api/a.py").plus(work("web/site/a")).plus(work("web/site/b"))
    assert targets(both.images) == ["api:dev"]
    assert list(both.copied[0].files.values()) == ["/site/a", "/site/b"]
    assert both.copied[0].rules == (RULE,)
    built = both.plus(work("web/main.py"))
    assert (targets(built.images), built.copied) == (["api:dev", "web:dev"], ())
    assert built.plus(work("web/site/c")).copied == ()


def test_the_roots_are_what_the_project_is_made_of() -> None:
    assert [str(path.relative_to(ROOT)) for path in PROJECT.roots] == [
        "sandbox.yaml",
        "images.yaml",
        "api",
        "web",
        "disk.tar",
        "k8s",
        "base",
    ]
    assert Target("api", "dev") in work("api/a").targets


def test_images_made_from_a_changed_one_are_built_with_it() -> None:
    top = FromBuild(parse("top:dev"), ROOT / "top")
    made_from = {WEB.target: frozenset({API.target}), top.target: frozenset({WEB.target})}
    project = Project(entries=(top, WEB, API, DISK), bases=made_from)
    assert targets(project.work([ROOT / "api/a.py"]).images) == ["top:dev", "web:dev", "api:dev"]
    both = project.work([ROOT / "api/a.py", ROOT / "web/site/index.html"])
    assert not both.copied
    assert project.work([ROOT / "web/site/index.html"]).copied
