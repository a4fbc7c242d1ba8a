"""Upgrades: which versions are in reach, one that was interrupted, and the way back when nodes cannot be upgraded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sandbox.app import cluster_upgrade
from sandbox.app.cluster_upgrade import UpgradeFailed, _Upgrading
from sandbox.app.core import Sandbox
from sandbox.app.session import Session
from sandbox.components.cluster.kind.node_upgrade import Begun
from sandbox.config.schema import ResolvedSpec
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import ClusterError, ServerAway
from sandbox.names import Home
from sandbox.snapshot.snapshot_store import Store
from tests.support.fakes import FakeEngine, RecordingReporter


class Back:
    """A restore that is remembered, or fails."""

    def __init__(self) -> None:
        self.restored: list[str] = []
        self.broken = False

    def restore(self, manifest: str, say: Callable[[str], None]) -> None:
        if self.broken:
            raise SandboxError("the snapshot is damaged")
        self.restored.append(manifest)


@pytest.fixture
def back(monkeypatch: pytest.MonkeyPatch) -> Back:
    back = Back()
    monkeypatch.setattr(cluster_upgrade, "restoring", lambda names, engine: back)
    monkeypatch.setattr(Store, "find", lambda self, name, snapshot: f"{name} {snapshot}")
    return back


@pytest.fixture
def upgrading(tmp_path: Path, back: Back) -> _Upgrading:
    names = Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig").sandbox("demo")
    report, started = RecordingReporter(), cast("Any", lambda: back.restored.append("started"))
    sandbox = SimpleNamespace(name="demo", names=names, session=Session(report=report), start_locked=started)
    return _Upgrading(cast("Sandbox", sandbox), ResolvedSpec(), FakeEngine())


@pytest.mark.parametrize("before", ["v1.34.4", "v1.37.2", "v1.36.4"])
def test_version_out_of_reach_is_refused_naming_both(upgrading: _Upgrading, before: str) -> None:
    with pytest.raises(
        UsageError, match=f"runs Kubernetes {before}, which is not upgraded in place to v1.36.3"
    ) as caught:
        upgrading._require(before, "v1.36.3", None)
    assert "sandbox down demo, then sandbox up" in caught.value.fix


def test_interrupted_upgrade_is_continued_to_its_version_only(upgrading: _Upgrading) -> None:
    begun = Begun("v1.36.3", "before-1")
    upgrading._require("v1.35.4", "v1.36.3", begun)
    upgrading._require("v1.36.3", "v1.36.3", begun)
    with pytest.raises(UsageError, match=r"upgrade of 'demo' to v1\.36\.3 was interrupted") as caught:
        upgrading._require("v1.35.4", "v1.35.8", begun)
    assert "sandbox snapshot restore before-1 demo" in caught.value.fix


def test_failed_upgrade_is_undone_and_says_why(upgrading: _Upgrading, back: Back) -> None:
    with pytest.raises(UpgradeFailed, match="'demo' could not be upgraded, and runs as before") as caught:
        upgrading._back("before-1", SandboxError("kubeadm failed", details="its words"))
    assert back.restored == ["demo before-1", "started"]
    assert caught.value.details == "kubeadm failed\nits words"


def test_interrupt_is_undone_without_another_error(upgrading: _Upgrading, back: Back) -> None:
    upgrading._back("before-1", KeyboardInterrupt())
    assert back.restored == ["demo before-1", "started"]


def test_failed_way_back_names_both_errors_and_the_snapshot(upgrading: _Upgrading, back: Back) -> None:
    back.broken = True
    with pytest.raises(UpgradeFailed, match="and so did the way back") as caught:
        upgrading._back("before-1", SandboxError("kubeadm failed"))
    assert caught.value.fix == "sandbox snapshot restore before-1 demo"
    assert "kubeadm failed" in caught.value.details and "damaged" in caught.value.details


@pytest.mark.parametrize("first", [ServerAway("it does not answer"), ClusterError("it knows no rights", status=403)])
def test_server_that_starts_after_an_upgrade_is_asked_again(
    upgrading: _Upgrading, monkeypatch: pytest.MonkeyPatch, first: SandboxError
) -> None:
    monkeypatch.setattr(cluster_upgrade, "PAUSE", 0.0)
    errors: list[SandboxError | None] = [first, None]

    def start() -> None:
        if error := errors.pop(0):
            raise error

    monkeypatch.setattr(upgrading.sandbox, "start_locked", start)
    upgrading._settle()
    assert not errors


@pytest.mark.parametrize("error", [ClusterError("it refuses", status=422), SandboxError("the engine failed")])
def test_other_errors_of_the_start_after_an_upgrade_end_it(
    upgrading: _Upgrading, monkeypatch: pytest.MonkeyPatch, error: SandboxError
) -> None:
    def start() -> None:
        raise error

    monkeypatch.setattr(upgrading.sandbox, "start_locked", start)
    with pytest.raises(SandboxError) as caught:
        upgrading._settle()
    assert caught.value is error
