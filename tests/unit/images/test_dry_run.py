"""A dry run tells what a push would do, and does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from sandbox.images.images_yaml import Entry, FromBuild, FromLayout
from sandbox.images.progress import Action, Result
from sandbox.images.push import PushFailed, push
from sandbox.oci.manifest import Compression
from sandbox.oci.reference import parse_target
from tests.support.engine_folder import ContainerdEngine, ReadableEngine
from tests.support.images import FakeEngine, TestImage, from_engine, index, layer, write_layout
from tests.support.registry_simulator import Simulator

BASE, TOP, OTHER = layer(1, 30_000), layer(2, 9_000), layer(3, 500)
APP, TOOL = TestImage((BASE, TOP), "app"), TestImage((BASE, OTHER), "tool")


def planned(results: Sequence[Result]) -> list[tuple[str, Action, int, int, str]]:
    return [(one.target, one.action, one.blobs, one.size, one.digest) for one in results]


def untouched(registry: Simulator) -> bool:
    return {request.method for request in registry.requests} <= {"GET", "HEAD"}


def test_dry_run_predicts_the_push(registry: Simulator, tmp_path: Path) -> None:
    for name, image in (("app", APP), ("tool", TOOL)):
        write_layout(tmp_path / name, index(image.descriptor()), image.files)
    sources = {"app:1": "app", "tool:1": "tool", "copy:1": "app", "absent:1": "absent"}
    entries = [FromLayout(parse_target(name), tmp_path / folder) for name, folder in sources.items()]
    with pytest.raises(PushFailed) as caught:
        push(entries, registry.url, dry=True)
    before = planned(caught.value.results)
    assert [one[:4] for one in before] == [
        ("app:1", Action.UPLOADED, 3, len(BASE) + len(TOP) + len(APP.config)),
        ("tool:1", Action.UPLOADED, 2, len(OTHER) + len(TOOL.config)),
        ("copy:1", Action.MOUNTED, 0, 0),
    ]
    assert [str(target) for target in caught.value.failures] == ["absent:1"]
    assert untouched(registry)
    assert planned(push(entries[:3], registry.url)) == before
    registry.forget()
    assert {one.action for one in push(entries[:3], registry.url, dry=True)} == {Action.SKIPPED}
    assert untouched(registry)


@pytest.mark.parametrize("kind", [Compression.RAW, Compression.GZIP])
def test_the_engine_neither_saves_nor_builds(registry: Simulator, tmp_path: Path, kind: Compression) -> None:
    engine = FakeEngine({"app": APP, "tool": TOOL})
    entries: list[Entry] = [
        from_engine("app:1", "app"),
        from_engine("tool:1", "tool"),
        FromBuild(parse_target("built:1"), tmp_path),
        from_engine("absent:1"),
    ]
    with pytest.raises(PushFailed) as caught:
        push(entries, registry.url, engine, compression=kind, dry=True)
    assert not caught.value.results
    assert [str(target) for target in caught.value.failures] == ["absent:1"]
    assert (engine.saves, engine.built, untouched(registry)) == ([], [], True)
    push(entries[:2], registry.url, engine, compression=kind)
    engine.saves.clear()
    again = push(entries[:2], registry.url, engine, compression=kind, dry=True)
    assert [one.action for one in again] == [Action.SKIPPED, Action.SKIPPED]
    assert engine.saves == []


@pytest.mark.parametrize("kind", [ReadableEngine, ContainerdEngine])
def test_sizes_are_exact_where_folders_can_be_read(
    registry: Simulator, tmp_path: Path, kind: type[ReadableEngine | ContainerdEngine]
) -> None:
    engine = kind({"app": APP, "tool": TOOL}, containerd=kind is ContainerdEngine, folder=tmp_path)
    entries = [from_engine(f"{name}:1", name) for name in ("app", "tool")]
    before = planned(push(entries, registry.url, engine, dry=True))
    assert len(before) == 2 and untouched(registry)
    assert planned(push(entries, registry.url, engine)) == before
    assert engine.saves == []
