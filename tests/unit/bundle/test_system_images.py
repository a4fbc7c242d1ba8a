"""Where the system images come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest

from sandbox.bundle import machine_node
from sandbox.bundle.recipe import minor, recipes
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
    own = choose("auto", absent, Store(tmp_path), made_from="bundle", can_pull=registry)
    assert (own.source, registry.asked) == ("upstream", [])


def test_mirror_is_asked_in_place_of_the_registry(tmp_path: Path) -> None:
    registry, store = Asked(answers=True), built(tmp_path, *IN_ENGINE)
    own = choose("auto", absent, store, mirrors={"docker.io": "mirror.example/hub"}, can_pull=registry)
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
    own = choose("auto", absent, store, kubernetes, can_pull=Asked(answers=answers))
    assert (own.source, own.kubernetes) == (source, version)
    own.require(kubernetes)


@pytest.mark.parametrize("made_from", ["bundle", "upstream"])
def test_sandbox_leaves_its_source_for_a_kubernetes_that_only_the_other_has(tmp_path: Path, made_from: Source) -> None:
    wanted, source = ("v1.36.4", "upstream") if made_from == "bundle" else ("v1.36.3", "bundle")
    registry, store = Asked(answers=True), built(tmp_path, *IN_ENGINE)
    own = choose("auto", absent, store, wanted, made_from=made_from, can_pull=registry)
    assert (own.source, own.kubernetes) == (source, wanted)


def test_without_a_registry_a_kubernetes_of_the_published_images_alone_is_refused(tmp_path: Path) -> None:
    own = choose("auto", absent, built(tmp_path, *IN_ENGINE), "v1.36.4")
    with pytest.raises(UsageError, match=r"v1\.36\.4 is not in the bundle") as caught:
        own.require("v1.36.4")
    assert "kubernetes: v1.36`" in caught.value.fix


@pytest.mark.parametrize(
    ("wanted", "engine", "parts", "source"),
    [
        ("auto", lambda _: True, (), "upstream"),
        ("auto", absent, IN_ENGINE, "bundle"),
        ("auto", absent, IN_ENGINE[1:], "upstream"),
        ("bundle", lambda _: True, (), "bundle"),
        ("bundle", absent, IN_ENGINE, "bundle"),
        ("bundle", lambda reference: "/node:" in reference, IN_ENGINE[1:], "bundle"),
        ("upstream", lambda _: True, IN_ENGINE, "upstream"),
    ],
)
def test_where_images_come_from(
    tmp_path: Path, wanted: str, engine: Callable[[str], bool], parts: tuple[str, ...], source: str
) -> None:
    own = choose(wanted, engine, built(tmp_path, *parts))  # type: ignore[arg-type]
    assert own.source == source
    assert own.references.keys() == UPSTREAM.keys()
    assert all(reference.startswith("sandbox.dev/") == (source == "bundle") for reference in own.references.values())
    assert own.kubernetes.startswith("v1.")
    assert own.kubernetes in own.references["node"]


@pytest.mark.parametrize("wanted", ["auto", "bundle"])
def test_balancer_of_control_planes_is_built_when_wanted(tmp_path: Path, wanted: Literal["auto", "bundle"]) -> None:
    cluster = Cluster.model_validate({"nodes": {"control_plane": 3}})
    components, store = in_engine(cluster), built(tmp_path, *IN_ENGINE)
    assert in_engine(Cluster()) == IN_ENGINE and components == (*IN_ENGINE, "balancer")
    with pytest.raises(SandboxError, match="load balancer") as caught:
        choose(wanted, absent, store, components=components)
    assert caught.value.fix.startswith("sandbox bundle build balancer")
    assert choose(wanted, absent, built(tmp_path, "balancer"), components=components).source == "bundle"


@pytest.mark.parametrize(("wanted", "kubernetes"), [("auto", "v1.35.4"), ("bundle", "v1.35.4"), ("auto", "v1.34.4")])
def test_wanted_kubernetes_is_taken_from_the_bundle(tmp_path: Path, wanted: str, kubernetes: str) -> None:
    number, store = minor(kubernetes), built(tmp_path, *IN_ENGINE)
    with pytest.raises(SandboxError, match=f"not built with Kubernetes {kubernetes}") as caught:
        choose(wanted, absent, store, kubernetes)  # type: ignore[arg-type]
    assert caught.value.fix == f"sandbox bundle build --kubernetes {number}"
    own = choose(wanted, absent, built(tmp_path, f"node-{number}"), kubernetes)  # type: ignore[arg-type]
    assert (own.source, own.kubernetes, own.recipe("node").name) == ("bundle", kubernetes, f"node-{number}")
    own.require(kubernetes)


def test_default_is_not_needed_for_another_kubernetes(tmp_path: Path) -> None:
    store = built(tmp_path, *IN_ENGINE[1:], "node-1.35")
    assert choose("auto", absent, store, "v1.35.4").source == "bundle"
    assert choose("auto", absent, store).source == "upstream"
    assert choose("auto", absent, Store(tmp_path / "empty"), "v1.35.4").source == "upstream"
    with pytest.raises(SandboxError) as caught:
        choose("bundle", absent, store)
    assert caught.value.fix == "sandbox bundle build"


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
