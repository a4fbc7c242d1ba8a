"""Which work a set of changed files asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.app.dev.changed_files import MOST_COPIED, Copied, DevWork, Project
from sandbox.images.images_yaml import Entry, FromArchive, FromBuild, FromRegistry
from sandbox.images.sync_rules import SyncRule
from sandbox.oci import reference
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


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("images.yaml", "api/a.py"), DevWork(spec=True)),
        (("api/a.py",), DevWork(images=(API,))),
        (("api",), DevWork(images=(API,))),  # the whole context was exchanged
        (("web",), DevWork(images=(WEB,))),
        (("disk.tar",), DevWork(images=(DISK,))),
        (("k8s/deep/web.yaml",), DevWork(manifests=True)),
        (("web/site/a",), DevWork(copied=(Copied(WEB, {ROOT / "web/site/a": "/site/a"}, (RULE,)),))),
        (("web/site/a", "web/main.py"), DevWork(images=(WEB,))),  # one file without a rule
        (tuple(f"web/site/{number}" for number in range(MOST_COPIED + 1)), DevWork(images=(WEB,))),
        (("api/docs/a.md", "api/.git/index", "images.lock.yaml", "elsewhere/a.py"), DevWork()),
        (("api/__pycache__/a.pyc", "api/.a.py.swp", "api/a.py~", "api/4913"), DevWork()),
    ],
)
def test_changed_files_require_only_their_image_copy_or_step(paths: tuple[str, ...], expected: DevWork) -> None:
    assert work(*paths) == expected


def test_ignored_build_file_still_causes_a_build() -> None:
    project = Project(entries=(API,), excluded={API.target: lambda _: True})
    assert targets(project.work([API.context / "Dockerfile", API.context / "b"]).images) == ["api:dev"]
    assert not project.work([API.context / "b"])


def test_a_rule_for_all_leaves_the_dockerfile_to_the_build() -> None:
    entry = FromBuild(parse("a:1"), ROOT / "a", sync=(SyncRule(paths={".": "/app"}),), dockerfile="dev.Dockerfile")
    project = Project(entries=(entry,))
    assert project.work([ROOT / "a/dev.Dockerfile"]).images == (entry,)
    assert project.work([ROOT / "a/main.py"]).copied


def test_work_that_failed_is_done_together_with_the_next() -> None:
    both = work("api/a.py").plus(work("web/site/a"))
    assert (targets(both.images), list(both.copied[0].files.values())) == (["api:dev"], ["/site/a"])
    built = both.plus(work("web/site/b"))  # the files of both changes
    assert (targets(built.images), built.copied) == (["api:dev", "web:dev"], ())


def test_images_made_from_a_changed_one_are_built_with_it() -> None:
    top = FromBuild(parse("top:dev"), ROOT / "top")
    made_from = {WEB.target: frozenset({API.target}), top.target: frozenset({WEB.target})}
    project = Project(entries=(top, WEB, API, DISK), bases=made_from)
    assert targets(project.work([ROOT / "api/a.py"]).images) == ["top:dev", "web:dev", "api:dev"]
    both = project.work([ROOT / "api/a.py", ROOT / "web/site/index.html"])
    assert not both.copied
    assert project.work([ROOT / "web/site/index.html"]).copied
