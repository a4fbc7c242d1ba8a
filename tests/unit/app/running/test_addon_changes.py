"""`sandbox addons enable` that fails."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.app import machine_plan
from sandbox.app.running import addon_changes
from sandbox.components.addons.addon_manager import AddonStep
from sandbox.config.schema import Spec
from sandbox.errors import SandboxError
from sandbox.plan import lifecycle
from sandbox.report import Silent


@dataclass(frozen=True)
class Manager:
    """A manager of addons without any."""

    uses: tuple[Any, ...] = ()
    asked: tuple[str, ...] = ()

    def records(self) -> dict[str, object]:
        return {}


def test_failed_enable_names_the_command_that_removes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise SandboxError("the pods are not ready")

    manager: Any = Manager()
    monkeypatch.setattr(machine_plan, "steps", lambda _: ((AddonStep(manager),), None, None))
    monkeypatch.setattr(addon_changes, "require_up", lambda _: None)
    monkeypatch.setattr(lifecycle, "up", fail)
    session = SimpleNamespace(report=Silent(), say=print)
    sandbox: Any = SimpleNamespace(spec=Spec(name="demo"), session=session, names=None, alone=lambda _: nullcontext())
    with pytest.raises(SandboxError, match="the pods are not ready") as caught:
        addon_changes.enable(sandbox, "grafana")
    assert caught.value.__notes__ == ["if a part of it is there, remove it with: sandbox addons disable grafana"]
