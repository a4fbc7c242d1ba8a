"""The loop of `dev` over a sandbox that only notes what is done to it, and which work changed files ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from sandbox.app import machine_plan
from sandbox.app.agreement import Agreement
from sandbox.app.core import Sandbox
from sandbox.app.dev.changed_files import MOST_COPIED, Copied, DevWork, Project
from sandbox.app.dev.dev_report import DevReport
from sandbox.app.dev.loop import DevLoop, project_of
from sandbox.app.dev.rounds import Rounds
from sandbox.config.resolve import load
from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromArchive, FromBuild, FromRegistry, SyncRule
from sandbox.oci import reference
from sandbox.oci.reference import parse_target as parse

BROKEN = SandboxError("1 of 1 images not pushed")


class Stage:
    """A project in a folder, its sandbox, its rounds with their `errors`, and what is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.rounds: list[DevWork] = []
        self.errors: list[SandboxError] = []
        self.up_fails: SandboxError | None = None
        self.ups = 0
        self.trouble: str | None = None
        self.refusal: SandboxError | None = None
        for name in ("k8s", "app"):
            (folder / name).mkdir()
        self.save("images.yaml", "images: [{from: build, context: app, as: app}]\n")
        self.save("sandbox.yaml", "apiVersion: sandbox.dev/v1\nname: demo\npush: images.yaml\napply: [k8s]\n")

    def save(self, path: str, text: str = "x") -> None:
        (self.folder / path).write_text(text, encoding="utf-8")

    def change(self, loop: DevLoop, path: str, text: str = "x") -> None:
        self.save(path, text)
        loop.next(self.sandbox)

    @property
    def sandbox(self) -> Sandbox:
        kubeconfig, spec = self.folder / "kubeconfig", load(self.folder / "sandbox.yaml")

        def up(**_: object) -> None:
            self.ups += 1
            if self.up_fails:
                raise self.up_fails

        parts = {"spec": spec, "resolved": spec, "name": spec.name, "up": up, "alone": self.alone}
        return cast("Sandbox", SimpleNamespace(kubeconfig=kubeconfig, context="c", **parts))

    @contextmanager
    def alone(self, doing: str, *, agreement: Agreement) -> Iterator[None]:
        if self.refusal:
            agreement.allow(self.refusal)
        yield

    def run(self, work: DevWork) -> DevWork:
        self.rounds.append(work)
        if self.errors:
            raise self.errors.pop()
        return DevWork()

    # What a report hears.

    def watching(self, folders: Collection[Path]) -> None:
        self.told.append("watching")

    def changed(self, paths: Collection[Path]) -> None:
        self.told.append(" ".join(sorted(str(path.relative_to(self.folder)) for path in paths)))

    def failed(self, error: SandboxError) -> None:
        self.told.append(error.brief)

    def ready(self, seconds: float) -> None:
        self.told.append("ready")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path)
    monkeypatch.setattr(machine_plan, "steps", lambda _: ((), None, None))
    monkeypatch.setattr("sandbox.app.dev.loop.trouble_of", lambda _: made.trouble)
    monkeypatch.setattr(Rounds, "of", lambda *_: SimpleNamespace(run=made.run, copied={}, loaded=True))
    return made


@pytest.fixture
def loop(stage: Stage) -> Iterator[DevLoop]:
    report = cast("DevReport", stage)
    loop = DevLoop(lambda: stage.sandbox, stage.folder / "sandbox.yaml", report, logs=False)
    yield loop
    loop.watch.end()


def images(work: DevWork) -> list[str]:
    return [str(one.target) for one in work.images]


def test_a_changed_dockerignore_counts_from_then_on(stage: Stage, loop: DevLoop) -> None:
    stage.save("app/.dockerignore", "a\n")
    loop.up(stage.sandbox)
    for path, text in (("app/a", "1"), ("app/.dockerignore", "b\n"), ("app/b", "1"), ("app/a", "2")):
        stage.change(loop, path, text)
    assert stage.told == ["app/.dockerignore", "ready", "app/a", "ready"]


def test_a_changed_list_of_images_is_a_whole_up(stage: Stage, loop: DevLoop) -> None:
    loop.up(stage.sandbox)
    stage.change(loop, "images.yaml", "images: [{from: build, context: app, as: other}]\n")
    assert (stage.ups, stage.told) == (2, ["images.yaml", "watching", "ready"])
    stage.change(loop, "app/a")
    assert images(stage.rounds[0]) == ["other:latest"]


def test_failed_work_is_retried_with_the_next_change(stage: Stage, loop: DevLoop) -> None:
    loop.up(stage.sandbox)
    stage.errors = [BROKEN]
    for path in ("app/a.py~", "app/a", "k8s/a.yaml"):  # the first requires nothing
        stage.change(loop, path)
    assert [(images(work), work.manifests) for work in stage.rounds] == [
        (["app:latest"], False),
        (["app:latest"], True),
    ]
    assert stage.told == ["app/a", BROKEN.brief, "k8s/a.yaml", "ready"]


def test_an_up_that_fails_is_tried_again_at_a_change(stage: Stage, loop: DevLoop) -> None:
    stage.up_fails = BROKEN
    with pytest.raises(SandboxError):
        loop.up(stage.sandbox)
    (stage.folder / "kubeconfig").touch()
    assert not loop.up(stage.sandbox)
    stage.change(loop, "k8s/a.yaml")
    assert stage.ups == 3 and "ready" not in stage.told
    stage.up_fails = None
    stage.change(loop, "app/a")
    assert stage.ups == 4 and stage.told[-1] == "ready"
    stage.change(loop, "app/a", "again")
    assert stage.ups == 4 and images(stage.rounds[0]) == ["app:latest"]


@pytest.mark.fault(65)
def test_sandbox_that_was_taken_down_is_told_and_awaited(stage: Stage, loop: DevLoop) -> None:
    """`down` or `stop` while `dev` follows → an error with the way to go on, and no build; after `up` it goes on."""
    loop.up(stage.sandbox)
    for stage.trouble in ("Connection refused", None):
        stage.change(loop, "app/a")
    assert stage.told == ["app/a", "the sandbox 'demo' is not up any more", "app/a", "ready"]
    assert len(stage.rounds) == 1


def test_sandbox_that_another_folder_brought_up_meanwhile_is_left_alone(stage: Stage, loop: DevLoop) -> None:
    loop.up(stage.sandbox)
    stage.refusal = SandboxError("'demo' was brought up from elsewhere", id="other-origin")
    stage.change(loop, "app/a")
    assert (stage.told, stage.rounds) == (["app/a", "'demo' was brought up from elsewhere"], [])


def test_another_name_in_the_spec_makes_no_other_sandbox(stage: Stage, loop: DevLoop) -> None:
    """An editor saves while it is typed, and each name would be a cluster."""
    sandbox = stage.sandbox
    loop.up(sandbox)
    text = (stage.folder / "sandbox.yaml").read_text(encoding="utf-8")
    stage.save("sandbox.yaml", text.replace("demo", "demonstration"))
    assert loop.next(sandbox) is sandbox
    assert stage.told[-1] == "the spec is of 'demonstration' now, and this `sandbox dev` follows 'demo'"
    stage.save("sandbox.yaml", text)
    loop.next(sandbox)
    assert stage.ups == 2


def test_bases_elsewhere_and_our_own_files_are_known(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("project/overlay", "base"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "base/kustomization.yaml").write_text("resources: []\n", encoding="utf-8")
    (project / "overlay/kustomization.yaml").write_text("resources: [../../base]\n", encoding="utf-8")
    (project / "images.yaml").write_text("images: [{from: build, context: ., as: app}]\n", encoding="utf-8")
    (project / ".dockerignore").write_text("docs\n", encoding="utf-8")
    file = project / "sandbox.yaml"
    file.write_text("apiVersion: sandbox.dev/v1\npush: images.yaml\napply: [overlay]\n", encoding="utf-8")
    found = project_of(file, load(file))
    assert found.work([tmp_path / "base/kustomization.yaml"]) == DevWork(manifests=True)
    assert not found.work([project / "images.lock.yaml", project / "docs/a"])
    assert found.work([file]) == DevWork(spec=True)


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
    assert images(project.work([API.context / "Dockerfile", API.context / "b"])) == ["api:dev"]
    assert not project.work([API.context / "b"])


def test_a_rule_for_all_leaves_the_dockerfile_to_the_build() -> None:
    entry = FromBuild(parse("a:1"), ROOT / "a", sync=(SyncRule(paths={".": "/app"}),), dockerfile="dev.Dockerfile")
    project = Project(entries=(entry,))
    assert project.work([ROOT / "a/dev.Dockerfile"]).images == (entry,)
    assert project.work([ROOT / "a/main.py"]).copied


def test_failed_dev_work_is_repeated_with_the_next_change() -> None:
    both = work("api/a.py").plus(work("web/site/a"))
    assert (images(both), list(both.copied[0].files.values())) == (["api:dev"], ["/site/a"])
    built = both.plus(work("web/site/b"))  # the files of both changes
    assert (images(built), built.copied) == (["api:dev", "web:dev"], ())


def test_images_made_from_a_changed_one_are_built_with_it() -> None:
    top = FromBuild(parse("top:dev"), ROOT / "top")
    made_from = {WEB.target: frozenset({API.target}), top.target: frozenset({WEB.target})}
    project = Project(entries=(top, WEB, API, DISK), bases=made_from)
    assert images(project.work([ROOT / "api/a.py"])) == ["top:dev", "web:dev", "api:dev"]
    both = project.work([ROOT / "api/a.py", ROOT / "web/site/index.html"])
    assert not both.copied
    assert project.work([ROOT / "web/site/index.html"]).copied
