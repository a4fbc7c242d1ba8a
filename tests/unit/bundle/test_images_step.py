"""The sandbox's own images in an engine in memory, of a bundle and of upstream, and the node made of upstream's."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.bundle import images_step, machine_node
from sandbox.bundle.images_step import ImagesStep
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import ALIASES, IN_ENGINE, IN_PODS, UPSTREAM, OwnImages, further, prepared
from sandbox.engine import ContainerSpec, EngineError
from sandbox.errors import SandboxError
from sandbox.step import State, Status
from tests.support.fakes import FakeContainer, FakeEngine, NoWork, applied

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


OWN = prepared(OwnImages("upstream", UPSTREAM))


class Committing(FakeEngine):
    """An engine that runs a container to its end and makes an image of it."""

    status = 0

    def __init__(self) -> None:
        super().__init__()
        self.upstream = set(UPSTREAM.values())
        self.archives: list[str] = []

    def make(self, name: str, config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
        self._image(config["Image"], "making")
        spec = ContainerSpec(name=name, image="", command=(), network="none", labels=config["Labels"])
        self.add(FakeContainer(spec, config["Image"], running=False, read_only=False))

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        assert all(self.image_id(name) for name in names)
        yield b"archive of " + names[0].encode()

    def wait(self, name: str) -> int:
        box = self.boxes[name]
        self.archives = sorted(path.name for path in box.files if path.suffix == ".tar")
        box.log = "containerd: no such file\n"
        return self.status

    def commit(self, container: str, name: str, config: Mapping[str, Any]) -> None:
        assert container in self.boxes and machine_node.LABEL in config["Labels"]
        self.images[name] = f"sha256:{name}"


@pytest.fixture
def committing() -> Committing:
    return Committing()


@pytest.fixture
def preparing(committing: Committing, store: Store) -> ImagesStep:
    return ImagesStep(engine=committing, own=OWN, store=store)


def test_node_image_is_made_once_with_the_images_of_pods(committing: Committing, preparing: ImagesStep) -> None:
    assert preparing.check().state is State.ABSENT
    assert applied(preparing).state is State.READY
    assert committing.archives == [f"{name}.tar" for name in sorted(IN_PODS)] and not committing.boxes
    assert all(committing.image_id(OWN.references[name]) == committing.image_id(UPSTREAM[name]) for name in IN_PODS)
    committing.upstream.clear()
    committing.archives = []
    preparing.apply(NoWork())
    assert committing.archives == []


def test_node_that_cannot_be_prepared_is_an_error_with_its_words(committing: Committing, preparing: ImagesStep) -> None:
    committing.status = 3
    with pytest.raises(SandboxError, match="cannot be prepared") as caught:
        preparing.apply(NoWork())
    assert (caught.value.id, caught.value.fix[:20]) == ("no-images", "sandbox bundle build")
    assert "no such file" in caught.value.details
    assert committing.image_id(OWN.references["node"]) is None and not committing.boxes


def test_pulled_images_get_names_of_this_machine(committing: Committing, preparing: ImagesStep) -> None:
    reference = f"quay.io/jetstack/app:v1@sha256:{'cd' * 32}"
    preparing = replace(preparing, pulled={"app": reference})
    committing.upstream.add(reference)
    assert "app" in preparing.check().detail
    assert applied(preparing).state is State.READY
    assert committing.image_id("sandbox.dev/app:v1-cdcdcdcdcdcd") == committing.image_id(reference)
