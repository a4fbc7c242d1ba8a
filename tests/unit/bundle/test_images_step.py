"""The sandbox's own images in an engine in memory, from a bundle's archives and from upstream."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.bundle import images_step
from sandbox.bundle.images_step import ImagesStep
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import ALIASES, IN_ENGINE, UPSTREAM, OwnImages, further
from sandbox.engine import EngineError
from sandbox.errors import SandboxError
from sandbox.step import State, Status
from tests.support.fakes import FakeEngine, NoWork, applied

BUNDLED = {name: recipes()[name].reference for name in UPSTREAM}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which every image of the engine is an archive that names it."""
    store = Store(tmp_path / "bundle")
    for name in IN_ENGINE:
        archive(store, name, BUNDLED[name])
    return store


def archive(store: Store, name: str, reference: str) -> None:
    content = json.dumps([{"Config": f"{name}.json", "RepoTags": [reference], "Layers": []}]).encode()
    with store.filling(recipes()[name]) as folder, tarfile.open(folder / "image.tar", "w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


@pytest.fixture(params=["bundle", "upstream"])
def step(request: pytest.FixtureRequest, store: Store) -> ImagesStep:
    engine = FakeEngine()
    if request.param == "bundle":
        return ImagesStep(engine=engine, own=OwnImages("bundle", BUNDLED), store=store)
    engine.upstream = set(UPSTREAM.values())
    return ImagesStep(engine=engine, own=OwnImages("upstream", UPSTREAM), store=store)


def names(step: ImagesStep) -> set[str]:
    assert isinstance(step.engine, FakeEngine)
    return set(step.engine.images)


def test_missing_image_comes_from_the_chosen_source_and_stays(step: ImagesStep) -> None:
    assert step.check().state is State.ABSENT
    assert all(name in step.check().detail for name in IN_ENGINE)
    assert applied(step).state is State.READY
    assert names(step) == {*(step.own.references[name] for name in IN_ENGINE), *ALIASES.values()}
    assert not step.undo()
    assert step.check().state is State.READY
    alias = next(iter(ALIASES.values()))
    step.engine.tag(step.own.references["node"], alias)
    assert step.check() == Status(State.DRIFTED, f"{alias} is another image")
    assert applied(step).state is State.READY


@pytest.mark.fault(67)
def test_removed_image_is_restored_and_the_others_are_kept(step: ImagesStep) -> None:
    """System images are pruned → `up` brings back what is missing."""
    step.apply(NoWork())
    assert isinstance(step.engine, FakeEngine)
    kept = step.engine.image_id(step.own.references["node"])
    del step.engine.images[step.own.references["haproxy"]]
    step.engine.upstream.discard(step.own.references["node"])
    assert step.check().detail == "missing: haproxy"
    assert applied(step).state is State.READY
    assert step.engine.image_id(step.own.references["node"]) == kept


def test_image_that_cannot_be_pulled_has_a_fix(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise EngineError("pulling failed", details="toomanyrequests: slow down")

    monkeypatch.setattr(FakeEngine, "pull", fail)
    step = ImagesStep(engine=FakeEngine(), own=OwnImages("upstream", UPSTREAM), store=store)
    with pytest.raises(SandboxError, match="cannot be pulled") as caught:
        step.apply(NoWork())
    assert (caught.value.id, caught.value.details) == ("no-images", "toomanyrequests: slow down")
    assert "sha256" not in caught.value.brief
    assert "docker login" in caught.value.fix and "sandbox bundle build" in caught.value.fix
    pulled = replace(step, own=OwnImages("bundle", UPSTREAM), components=(), pulled={"cert-manager": "x.example/a:1@b"})
    with pytest.raises(SandboxError, match="cannot be pulled") as caught:
        pulled.apply(NoWork())
    assert caught.value.fix and "bundle build" not in caught.value.fix


def test_pulls_run_at_once_and_each_is_reported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pull ends when both were reported."""
    reported = threading.Event()

    class Together(FakeEngine):
        def pull(self, reference: str, say: Callable[[str], None] = lambda _: None) -> None:
            say("1 of 2 MB")
            assert reported.wait(60)
            super().pull(reference)

    class Said(NoWork):
        def say(self, line: str) -> None:
            if "haproxy: 1 of 2 MB" in line and "busybox: 1 of 2 MB" in line:
                reported.set()

    engine = Together()
    engine.upstream = set(UPSTREAM.values())
    two = ("haproxy", "busybox")
    monkeypatch.setattr(images_step, "EVERY", 0.02)
    ImagesStep(engine=engine, own=OwnImages("upstream", UPSTREAM), store=store, components=two).apply(Said())
    assert reported.is_set()


def test_image_named_only_by_manifest_comes_from_bundle(step: ImagesStep) -> None:
    (valkey,) = further(["sandbox.dev/valkey", "sandbox.dev/busybox", "app:dev", "sandbox.dev/unknown:1"])
    assert valkey.name == "valkey"
    archive(step.store, "valkey", valkey.reference)
    wanting = replace(step, further=(valkey,))
    assert "valkey" in wanting.check().detail
    assert applied(wanting).state is State.READY
    assert {valkey.reference, "sandbox.dev/valkey:latest"} <= names(step)
