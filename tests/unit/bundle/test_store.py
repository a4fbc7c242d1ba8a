"""The store: a component is there whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from sandbox.bundle.architecture import KNOWN, native
from sandbox.bundle.recipe import minor, recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import IN_ENGINE, UPSTREAM, choose, in_engine, with_kubernetes
from sandbox.config.schema import Cluster
from sandbox.errors import SandboxError, UsageError

BUSYBOX = recipes()["busybox"]
ALL: Callable[[str], bool] = lambda reference: True  # noqa: E731
NONE: Callable[[str], bool] = lambda reference: False  # noqa: E731


def fill(store: Store, *names: str) -> Store:
    for name in names:
        with store.filling(recipes()[name]) as folder:
            (folder / "image.tar").touch()
            (folder / "bin").mkdir()
    return store


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failed_write_leaves_nothing_under_the_final_name(tmp_path: Path, error: type[BaseException]) -> None:
    store = Store(tmp_path)
    with pytest.raises(error), store.filling(BUSYBOX) as folder:
        (folder / "half").touch()
        raise error
    assert not store.has(BUSYBOX)
    with store.filling(BUSYBOX) as folder:
        assert list(folder.iterdir()) == []
        (folder / "image.tar").touch()
    assert store.has(BUSYBOX)


def test_a_component_that_lacks_a_part_is_not_there(tmp_path: Path) -> None:
    store, kubernetes = Store(tmp_path), recipes()["kubernetes"]
    with store.filling(kubernetes) as folder:
        (folder / "bin").mkdir()
    assert not store.has(kubernetes)
    (store.folder(kubernetes) / "image.tar").touch()
    assert store.has(kubernetes)


def test_another_architecture_has_a_folder_of_its_own(tmp_path: Path) -> None:
    store, other = Store(tmp_path), next(one for one in KNOWN.values() if one != native())
    assert store.across(native()) is store
    crossed = fill(store.across(other), "busybox")
    assert crossed.has(BUSYBOX) and not store.has(BUSYBOX)
    assert crossed.folder(BUSYBOX).parent == tmp_path / other.name
    assert crossed.toolchains == store.toolchains == tmp_path


def test_failed_build_keeps_previous_and_finished_replaces_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    older = tmp_path / ("busybox-" + "0" * 12)
    other = tmp_path / ("busybox-extra-" + "0" * 12)
    for folder in (older, other):
        folder.mkdir()
    with pytest.raises(RuntimeError), store.filling(BUSYBOX):
        raise RuntimeError
    assert older.exists()
    fill(store, "busybox")
    assert not older.exists()
    assert other.exists()


@pytest.mark.parametrize(
    ("wanted", "engine", "built", "source"),
    [
        ("auto", ALL, (), "upstream"),
        ("auto", NONE, IN_ENGINE, "bundle"),
        ("auto", NONE, IN_ENGINE[1:], "upstream"),
        ("bundle", ALL, (), "bundle"),
        ("bundle", NONE, IN_ENGINE, "bundle"),
        ("bundle", lambda reference: "/node:" in reference, IN_ENGINE[1:], "bundle"),
        ("upstream", ALL, IN_ENGINE, "upstream"),
    ],
)
def test_where_images_come_from(
    tmp_path: Path, wanted: str, engine: Callable[[str], bool], built: tuple[str, ...], source: str
) -> None:
    own = choose(wanted, engine, fill(Store(tmp_path), *built))  # type: ignore[arg-type]
    assert own.source == source
    assert own.references.keys() == UPSTREAM.keys()
    assert all(reference.startswith("sandbox.dev/") == (source == "bundle") for reference in own.references.values())
    assert own.kubernetes.startswith("v1.")
    assert own.kubernetes in own.references["node"]


@pytest.mark.parametrize("wanted", ["auto", "bundle"])
def test_balancer_of_control_planes_is_built_when_wanted(tmp_path: Path, wanted: Literal["auto", "bundle"]) -> None:
    cluster = Cluster.model_validate({"nodes": {"control_plane": 3}})
    components, store = in_engine(cluster), fill(Store(tmp_path), *IN_ENGINE)
    assert in_engine(Cluster()) == IN_ENGINE and components == (*IN_ENGINE, "balancer")
    with pytest.raises(SandboxError, match="load balancer") as caught:
        choose(wanted, NONE, store, components=components)
    assert caught.value.fix.startswith("sandbox bundle build balancer")
    assert choose(wanted, NONE, fill(store, "balancer"), components=components).source == "bundle"


@pytest.mark.parametrize(("wanted", "kubernetes"), [("auto", "v1.35.4"), ("bundle", "v1.35.4"), ("auto", "v1.34.4")])
def test_wanted_kubernetes_is_taken_from_the_bundle(tmp_path: Path, wanted: str, kubernetes: str) -> None:
    number, store = minor(kubernetes), fill(Store(tmp_path), *IN_ENGINE)
    with pytest.raises(SandboxError, match=f"not built with Kubernetes {kubernetes}") as caught:
        choose(wanted, NONE, store, kubernetes)  # type: ignore[arg-type]
    assert caught.value.fix == f"sandbox bundle build --kubernetes {number}"
    own = choose(wanted, NONE, fill(store, f"node-{number}"), kubernetes)  # type: ignore[arg-type]
    assert (own.source, own.kubernetes, own.recipe("node").name) == ("bundle", kubernetes, f"node-{number}")
    own.require(kubernetes)


def test_default_is_not_needed_for_another_kubernetes(tmp_path: Path) -> None:
    store = fill(Store(tmp_path), *IN_ENGINE[1:], "node-1.35")
    assert choose("auto", NONE, store, "v1.35.4").source == "bundle"
    assert choose("auto", NONE, store).source == "upstream"
    assert choose("auto", NONE, Store(tmp_path / "empty"), "v1.35.4").source == "upstream"
    with pytest.raises(SandboxError) as caught:
        choose("bundle", NONE, store)
    assert caught.value.fix == "sandbox bundle build"


@pytest.mark.parametrize("wanted", ["1.35", "v1.35", "1.35.4", "v1.35.4"])
def test_components_are_named_in_their_version(wanted: str) -> None:
    assert with_kubernetes(("kind", "node"), wanted) == ("kind", "node-1.35")
    assert with_kubernetes(("kind", "node"), recipes()["node"].version) == ("kind", "node")
    for refused in ("1.36.0", "1.12", "x", ""):
        with pytest.raises(UsageError, match="cannot be built with") as caught:
            with_kubernetes(("node",), refused)
        assert caught.value.details.startswith("it can with v1.37.") and "v1.35.4" in caught.value.details


@pytest.mark.fault(46)
def test_pattern_in_a_name_matches_only_itself(tmp_path: Path) -> None:
    """A folder whose name is a glob pattern is placed → other folders that the pattern matches stay."""
    victim, partial = tmp_path / "work-0123456789ab", tmp_path / "partial"
    victim.mkdir()
    partial.mkdir()
    Store(tmp_path).place(partial, tmp_path / "*-ffffffffffff")
    assert victim.exists()
