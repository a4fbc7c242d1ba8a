"""Builds the manager of a sandbox's addons over an engine in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.components.addons.addon_charts import AddonCharts
from sandbox.components.addons.addon_manager import AddonManager
from sandbox.components.addons.catalogue import WantedAddon
from sandbox.components.cluster.kind.command import Kind
from sandbox.components.workloads.image_names import ImageNames
from sandbox.engine import ContainerSpec
from sandbox.names import Names
from sandbox.step import Step
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine
from tests.support.memory_nodes import provider

VALUES = {"domain": "demo.test", "https_port": "443"}


def no_push(file: Path) -> Step:
    raise AssertionError(f"{file}: an addon without a chart pushes nothing")


def addon_manager(
    engine: FakeEngine,
    names: Names,
    *uses: str,
    kind: Path = Path("/kind"),
    registry: str = "http://r:1",
    values: Mapping[str, str] = VALUES,
    push: Callable[[Path], Step] = no_push,
) -> AddonManager:
    """Return the manager of addons in folders, for a cluster of one node."""
    host, store = registry.removeprefix("http://"), Store(names.home.bundle)
    charts = AddonCharts(
        names=names,
        engine=engine,
        images=ImageNames(prefix=host, url=registry),
        external=False,
        push=push,
        mirrors={},
    )
    return AddonManager(
        names=names,
        engine=engine,
        provider=provider(engine, names, Kind(kind, NETWORK)),
        store=store,
        charts=charts,
        uses=tuple(map(WantedAddon, uses)),
        values=values,
    )


def add_node(engine: FakeEngine, names: Names) -> FakeContainer:
    spec = ContainerSpec(name=names.node, image="", command=(), labels={}, network=NETWORK)
    box = FakeContainer(spec, "", read_only=False)
    engine.add(box)
    return box


def put_image(names: Names, component: str) -> None:
    """Put an image into the bundle."""
    store, recipe = Store(names.home.bundle), recipes()[component]
    store.folder(recipe).mkdir(parents=True)
    store.image(recipe).touch()
