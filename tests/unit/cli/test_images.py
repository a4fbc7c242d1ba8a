"""`sandbox images prune`: which node images go, what is asked first, and what is said of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox.app.running import snapshots
from sandbox.bundle import machine_node
from sandbox.cli import images
from sandbox.engine import ContainerSpec, Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.snapshot.snapshot_store import MANIFEST, Store
from tests.support import in_process
from tests.support.fakes import FakeContainer, FakeEngine

OLD, USED = "sandbox.dev/node:v1.36.4-000000000000", "sandbox.dev/node:v1.37.0-111111111111"
OTHERS = "shop/node:1"
PUBLISHED = "kindest/node"
SIZES = {OLD: 1_300_000_000, USED: 1_200_000_000, OTHERS: 1_250_000_000, PUBLISHED: 1_000_000_000}


class Labelled(FakeEngine):
    """An engine whose images all have the label, one of them with a stopped container."""

    def __init__(self) -> None:
        super().__init__()
        self.images = {name: f"sha256:{name}" for name in SIZES}
        spec = ContainerSpec(name="node", image="", command=(), network="none", labels={machine_node.LABEL: ""})
        self.add(FakeContainer(spec, self.images[USED], running=False))
        self.taken = False

    def labelled_images(self, label: str) -> tuple[str, ...]:
        assert label == f"{machine_node.OWNER}={os.getuid()}"
        return (USED, OTHERS, OLD)

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        plain = name.removeprefix("sha256:")
        if plain not in self.images:
            return None
        below = f"sha256:{PUBLISHED}" if plain == OLD else ""
        return {"Id": self.images[plain], "Size": SIZES[plain], "Parent": below}

    def remove_image(self, name: str) -> bool:
        return not self.taken and self.images.pop(name, None) is not None


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Labelled:
    found = Labelled()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(Engine, "connect", lambda *_: found)
    in_process.quiet(monkeypatch)
    return found


run = partial(in_process.run, images.images, "prune")


def test_unused_node_image_is_removed_and_measured(engine: Labelled) -> None:
    result = run("--yes")
    assert result.stdout == f"{OLD}    300.0 MB\n"
    assert result.stderr == "1 node image removed, 300.0 MB; 1 other in use\n"
    assert engine.images.keys() == {USED, OTHERS, PUBLISHED}


def test_dry_run_removes_nothing(engine: Labelled) -> None:
    assert run("--dry-run").stderr == "1 node image would be removed, 300.0 MB; 1 other in use\n"
    assert engine.images.keys() == SIZES.keys()


def test_without_a_terminal_and_without_yes_nothing_goes(engine: Labelled) -> None:
    with pytest.raises(UsageError, match="would be removed") as caught:
        run()
    assert caught.value.id == "consent" and OLD in caught.value.details
    assert engine.images.keys() == SIZES.keys()


def test_image_of_a_snapshot_stays(engine: Labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "images", lambda _: {engine.images[OLD]})
    assert "0 node images removed, 0.0 MB; 2 others in use" in run("--yes").stderr
    assert engine.images.keys() == SIZES.keys()


def test_nothing_is_pruned_while_a_snapshot_cannot_be_read(engine: Labelled) -> None:
    """A snapshot is of a later release → no image is removed, for it may need any of them."""
    file = snapshots.store().place("demo", "later") / MANIFEST
    file.parent.mkdir(parents=True)
    file.write_text('{"format": 2}')
    with pytest.raises(SandboxError) as caught:
        run("--yes")
    assert caught.value.id == "snapshot-damaged" and "the release of sandbox that saved it" in caught.value.fix
    assert engine.images.keys() == SIZES.keys()
