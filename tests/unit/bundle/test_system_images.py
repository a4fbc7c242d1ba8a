"""Where the system images come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from sandbox.bundle import machine_node
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import (
    IN_ENGINE,
    UPSTREAM,
    OwnImages,
    Source,
    choose,
    for_spec,
    in_engine,
    prepared,
    with_kubernetes,
)
from sandbox.config.schema import Cluster, Spec
from sandbox.engine import ContainerSpec
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Home
from tests.support.fakes import FakeContainer, FakeEngine


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
        with store.filling(recipes()[name]) as part:
            (part / "bin").mkdir()
            (part / "image.tar").touch()
    return store


def absent(reference: str) -> bool:
    return False


PUBLISHED = prepared(OwnImages("upstream", UPSTREAM))
WITH_OLDER = (*IN_ENGINE, "node-1.35")


@pytest.mark.parametrize("prepare", [False, True])
@pytest.mark.parametrize(
    ("wanted", "kubernetes", "here", "parts", "answers", "made_from", "source", "version"),
    [
        ("auto", None, True, IN_ENGINE, False, None, "upstream", "v1.36.4"),
        ("auto", None, False, IN_ENGINE, True, None, "upstream", "v1.36.4"),
        ("auto", None, False, IN_ENGINE, False, None, "bundle", "v1.36.3"),
        ("auto", None, True, IN_ENGINE, True, "bundle", "bundle", "v1.36.3"),
        ("auto", None, False, IN_ENGINE, False, "upstream", "upstream", "v1.36.4"),
        ("auto", None, False, (), False, "bundle", "upstream", "v1.36.4"),
        ("auto", "v1.36.3", False, IN_ENGINE, True, None, "bundle", "v1.36.3"),
        ("auto", "v1.36.4", False, IN_ENGINE, True, "bundle", "upstream", "v1.36.4"),
        ("auto", "v1.36.3", False, IN_ENGINE, True, "upstream", "bundle", "v1.36.3"),
        ("auto", "v1.35", False, WITH_OLDER, True, None, "upstream", "v1.35.8"),
        ("auto", "v1.35.4", False, WITH_OLDER[1:], False, None, "bundle", "v1.35.4"),
        ("auto", None, False, WITH_OLDER[1:], False, None, "upstream", "v1.36.4"),
        ("bundle", None, True, IN_ENGINE, True, None, "bundle", "v1.36.3"),
        ("upstream", None, False, IN_ENGINE, False, None, "upstream", "v1.36.4"),
    ],
)
def test_source_is_the_first_that_has_the_wanted_kubernetes(
    tmp_path: Path,
    wanted: Any,
    kubernetes: str | None,
    here: bool,
    parts: tuple[str, ...],
    answers: bool,
    made_from: Source | None,
    source: str,
    version: str,
    prepare: bool,
) -> None:
    present = {*UPSTREAM.values(), *PUBLISHED.references.values()} if here else set[str]()
    registry, store, has = Asked(answers=answers), built(tmp_path, *parts), present.__contains__
    own = choose(wanted, has, store, kubernetes, prepare=prepare, made_from=made_from, can_pull=registry)
    assert (own.source, own.kubernetes) == (source, version)
    assert not (registry.asked and here)


@pytest.mark.parametrize("wanted", ["auto", "bundle"])
def test_node_that_the_bundle_lacks_is_to_be_built(tmp_path: Path, wanted: Literal["auto", "bundle"]) -> None:
    with pytest.raises(SandboxError, match="the bundle is not complete") as caught:
        choose(wanted, absent, built(tmp_path, *IN_ENGINE), "v1.35.4")
    assert caught.value.fix.startswith("sandbox bundle build node-1.35;")
    own = choose(wanted, absent, built(tmp_path, "node-1.35"), "v1.35.4")
    assert own.recipe("node").name == "node-1.35"
    own.require("v1.35.4")
    with pytest.raises(SandboxError, match="the bundle is not complete"):
        choose("bundle", absent, Store(tmp_path / "empty"))


def test_mirror_is_asked_in_place_of_the_registry(tmp_path: Path) -> None:
    registry, store = Asked(answers=True), built(tmp_path, *IN_ENGINE)
    own = choose("auto", absent, store, mirrors={"docker.io": "mirror.example/hub"}, can_pull=registry)
    assert own.source == "upstream" and registry.asked == [own.references["node"]]
    assert registry.asked[0].startswith("mirror.example/hub/kindest/node:")


def test_without_a_registry_a_kubernetes_of_the_published_images_alone_is_refused(tmp_path: Path) -> None:
    own = choose("auto", absent, built(tmp_path, *IN_ENGINE), "v1.36.4")
    with pytest.raises(UsageError, match=r"v1\.36\.4 is not in the bundle") as caught:
        own.require("v1.36.4")
    assert "kubernetes: v1.36`" in caught.value.fix


@pytest.mark.parametrize("wanted", ["auto", "bundle"])
def test_balancer_of_control_planes_is_built_when_wanted(tmp_path: Path, wanted: Literal["auto", "bundle"]) -> None:
    cluster = Cluster.model_validate({"nodes": {"control_plane": 3}})
    components, store = in_engine(cluster), built(tmp_path, *IN_ENGINE)
    assert in_engine(Cluster()) == IN_ENGINE and components == (*IN_ENGINE, "balancer")
    with pytest.raises(SandboxError, match="the bundle is not complete") as caught:
        choose(wanted, absent, store, components=components)
    assert caught.value.fix.startswith("sandbox bundle build balancer")
    assert choose(wanted, absent, built(tmp_path, "balancer"), components=components).source == "bundle"


@pytest.mark.parametrize("wanted", ["1.35", "v1.35", "1.35.4", "v1.35.4"])
def test_components_are_named_in_their_version(wanted: str) -> None:
    assert with_kubernetes(("kind", "node"), wanted) == ("kind", "node-1.35")
    assert with_kubernetes(("kind", "node"), recipes()["node"].version) == ("kind", "node")
    for refused in ("1.36.0", "1.12", "x", ""):
        with pytest.raises(UsageError, match="cannot be built with") as caught:
            with_kubernetes(("node",), refused)
        assert caught.value.details.startswith("it can with v1.37.") and "v1.35.4" in caught.value.details


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
