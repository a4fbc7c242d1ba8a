"""The loop of `dev` over a sandbox that only notes what is done to it, with real files."""

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
from sandbox.app.dev.changed_files import DevWork
from sandbox.app.dev.dev_report import DevReport
from sandbox.app.dev.loop import DevLoop, project_of
from sandbox.app.dev.rounds import Rounds
from sandbox.config.resolve import load
from sandbox.errors import SandboxError

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
