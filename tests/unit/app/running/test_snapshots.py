"""A snapshot's restore as commands and the API call it."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.app.running import snapshots
from sandbox.components.cluster.kind import provider
from sandbox.config.schema import Spec
from sandbox.engine import Engine
from sandbox.errors import SandboxError, UsageError


def test_restore_whose_start_fails_says_that_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its port was taken meanwhile: the error is that, and says nothing of the snapshot."""
    restored: list[str] = []
    found = SimpleNamespace(snapshot="before")
    restoring = SimpleNamespace(restore=lambda manifest, _: restored.append(manifest.snapshot))
    monkeypatch.setattr(Engine, "connect", lambda: SimpleNamespace(volume_labels=lambda _: None))
    monkeypatch.setattr(provider, "nodes", lambda *_: SimpleNamespace(all=tuple))
    monkeypatch.setattr(snapshots, "store", lambda: SimpleNamespace(find=lambda *_: found))
    monkeypatch.setattr(snapshots, "restoring", lambda *_: restoring)

    def fail() -> None:
        raise SandboxError("port 8444 on 127.0.0.1 is taken")

    task = SimpleNamespace(say=None, done="")
    session = SimpleNamespace(task=lambda _: nullcontext(task))
    names = SimpleNamespace(name="demo", volume="v")
    sandbox: Any = SimpleNamespace(
        spec=Spec.default("demo"), names=names, session=session, start_locked=fail, alone=lambda _: nullcontext()
    )
    with pytest.raises(SandboxError, match="8444") as caught:
        snapshots.restore(sandbox, None, lambda _: None)
    assert restored == ["before"]
    assert caught.value.__notes__ == ["the snapshot is restored, and not started: sandbox start demo"]


def test_minikube_cluster_cannot_be_saved_and_is_told_to_stop() -> None:
    spec = Spec.model_validate({"name": "demo", "cluster": {"provider": "minikube"}})
    sandbox: Any = SimpleNamespace(spec=spec)
    with pytest.raises(UsageError, match="snapshot save works with clusters of kind, not of minikube") as caught:
        snapshots.save(sandbox, None, str)
    assert caught.value.fix == "sandbox stop, which keeps the data"
