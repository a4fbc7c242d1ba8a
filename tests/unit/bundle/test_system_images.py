"""Where the system images come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from sandbox.bundle import machine_node
from sandbox.bundle.recipe import Recipe, minor, recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import (
    IN_ENGINE,
    UPSTREAM,
    OwnImages,
    Source,
    choose,
    for_spec,
    prepared,
)
from sandbox.config.schema import Cluster, Spec
from sandbox.engine import ContainerSpec
from sandbox.errors import UsageError
from sandbox.names import Home
from tests.support.fakes import FakeContainer, FakeEngine


def fill(recipe: Recipe, store: Store) -> None:
    with store.filling(recipe) as folder:
        (folder / "bin").mkdir()
        (folder / "image.tar").write_bytes(b"image")


class Asked:
    """Registries that have every image, or that do not answer; `asked` are the images that they were asked for."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, reference: str) -> bool:
        assert "@sha256:" in reference
        self.asked.append(reference)
        return self.answers


def built(folder: Path, *names: str) -> Store:
    store = Store(folder)
    for name in names:
        fill(recipes()[name], store)
    return store


PUBLISHED = prepared(OwnImages("upstream", UPSTREAM))


@pytest.mark.parametrize("prepare", [False, True])
@pytest.mark.parametrize(
    ("present", "answers", "made_from", "source", "asked"),
    [
        (True, False, None, "upstream", 0),
        (False, True, None, "upstream", 1),
        (False, False, None, "bundle", 1),
        (False, True, "bundle", "bundle", 0),
        (True, True, "bundle", "bundle", 0),
        (False, False, "upstream", "upstream", 0),
    ],
)
def test_auto_prefers_what_a_sandbox_has_then_published_images_then_the_bundle(
    tmp_path: Path, present: bool, answers: bool, made_from: Source | None, source: str, asked: int, prepare: bool
) -> None:
    registry, store = Asked(answers=answers), built(tmp_path, *IN_ENGINE)
    here = {(PUBLISHED if prepare else OwnImages("upstream", UPSTREAM)).references[one] for one in IN_ENGINE}
    own = choose(
        "auto", lambda name: present and name in here, store, prepare=prepare, made_from=made_from, can_pull=registry
    )
    assert (own.source, len(registry.asked)) == (source, asked)
    assert minor(own.kubernetes) == minor(recipes()["node"].version)


def test_bundle_of_another_release_is_no_source_of_its_sandboxes(tmp_path: Path) -> None:
    registry = Asked(answers=False)
    own = choose("auto", lambda _: False, Store(tmp_path), made_from="bundle", can_pull=registry)
    assert (own.source, registry.asked) == ("upstream", [])


def test_mirror_is_asked_in_place_of_the_registry(tmp_path: Path) -> None:
    registry, store = Asked(answers=True), built(tmp_path, *IN_ENGINE)
    own = choose("auto", lambda _: False, store, mirrors={"docker.io": "mirror.example/hub"}, can_pull=registry)
    assert own.source == "upstream" and registry.asked == [own.references["node"]]
    assert registry.asked[0].startswith("mirror.example/hub/kindest/node:")


@pytest.mark.parametrize(
    ("kubernetes", "answers", "source", "version"),
    [
        ("v1.36", True, "upstream", "v1.36.4"),
        ("v1.36", False, "bundle", "v1.36.3"),
        ("v1.36.3", True, "bundle", "v1.36.3"),
        ("v1.36.4", True, "upstream", "v1.36.4"),
        ("v1.35", True, "upstream", "v1.35.8"),
        ("v1.35", False, "bundle", "v1.35.4"),
    ],
)
def test_kubernetes_is_taken_from_where_it_is(
    tmp_path: Path, kubernetes: str, answers: bool, source: str, version: str
) -> None:
    store = built(tmp_path, *IN_ENGINE, "node-1.35")
    own = choose("auto", lambda _: False, store, kubernetes, can_pull=Asked(answers=answers))
    assert (own.source, own.kubernetes) == (source, version)
    own.require(kubernetes)


@pytest.mark.parametrize("made_from", ["bundle", "upstream"])
def test_sandbox_leaves_its_source_for_a_kubernetes_that_only_the_other_has(tmp_path: Path, made_from: Source) -> None:
    wanted, source = ("v1.36.4", "upstream") if made_from == "bundle" else ("v1.36.3", "bundle")
    registry, store = Asked(answers=True), built(tmp_path, *IN_ENGINE)
    own = choose("auto", lambda _: False, store, wanted, made_from=made_from, can_pull=registry)
    assert (own.source, own.kubernetes) == (source, wanted)


def test_without_a_registry_a_kubernetes_of_the_published_images_alone_is_refused(tmp_path: Path) -> None:
    own = choose("auto", lambda _: False, built(tmp_path, *IN_ENGINE), "v1.36.4")
    with pytest.raises(UsageError, match=r"v1\.36\.4 is not in the bundle") as caught:
        own.require("v1.36.4")
    assert "kubernetes: v1.36`" in caught.value.fix


@pytest.fixture
def home(tmp_path: Path) -> Home:
    built(tmp_path / "bundle", *IN_ENGINE)
    return Home(tmp_path, tmp_path, tmp_path / "kubeconfig")


def add(engine: FakeEngine, name: str, image: str, labels: Mapping[str, str]) -> None:
    spec = ContainerSpec(name=name, image="", command=(), network="none", labels=labels)
    engine.add(FakeContainer(spec, image))


@pytest.mark.parametrize(("labels", "source"), [({}, "bundle"), ({machine_node.LABEL: "kindest/node"}, "upstream")])
def test_sandbox_keeps_the_source_of_its_node(home: Home, labels: Mapping[str, str], source: str) -> None:
    spec, engine = Spec(), FakeEngine()
    engine.upstream = set(UPSTREAM.values()) if source == "bundle" else set()
    add(engine, home.sandbox(spec.name).node, "sha256:1", labels)
    assert for_spec(spec, home, engine).source == source


def test_minikube_sandbox_keeps_the_source_of_its_registry(home: Home) -> None:
    spec, reference = Spec(cluster=Cluster(provider="minikube")), recipes()["registry"].reference
    engine = FakeEngine(reference)
    engine.upstream = set(UPSTREAM.values())
    assert for_spec(spec, home, engine).source == "upstream"
    add(engine, home.sandbox(spec.name).registry, engine.images[reference], {})
    assert for_spec(spec, home, engine).source == "bundle"
