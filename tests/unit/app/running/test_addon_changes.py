"""`sandbox addons enable` that fails: what it created is removed, and the error is that of the first failure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from sandbox.app.running import addon_changes
from sandbox.components.addons.addon_manager import Record
from sandbox.config.schema import Spec
from sandbox.errors import SandboxError
from sandbox.plan import lifecycle

BEFORE, CREATED = (Record(name=name, source=name, by="command", digest="", objects=()) for name in ("redis", "grafana"))


@dataclass(frozen=True)
class Manager:
    """A fake of the addon managers: `records` and `remove` of the sandbox's own, `record` and `disable` of minikube."""

    records: Any = None
    remove: Any = lambda record, say: say(f"removing {record.name}")
    record: Any = None
    disable: Any = None
    uses: tuple[Any, ...] = ()
    asked: tuple[Any, ...] = ()


def enable(
    addon: str,
    manager: Manager,
    monkeypatch: pytest.MonkeyPatch,
    minikube: Manager | None = None,
    begin: Callable[[], object] = lambda: None,
) -> list[str]:
    """Enable an addon; it fails after `begin`. Return what is reported."""

    def fail(*_: object) -> None:
        begin()
        raise SandboxError("the pods are not ready")

    monkeypatch.setattr(addon_changes, "_managers", lambda _: (manager, minikube))
    monkeypatch.setattr(addon_changes, "require_up", lambda _: None)
    monkeypatch.setattr(lifecycle, "up", fail)
    lines: list[str] = []
    report = Mock(event=lambda _, step, brief: lines.append(f"{step}: {brief}"))
    spec = Spec.model_validate({"name": "demo", "cluster": {"provider": "minikube" if minikube else "kind"}})
    session = SimpleNamespace(report=report, say=lines.append)
    sandbox: Any = SimpleNamespace(spec=spec, session=session, names=None, alone=lambda _: nullcontext())
    with pytest.raises(SandboxError, match="the pods are not ready"):
        addon_changes.enable(sandbox, addon)
    return lines


def test_failed_enable_removes_what_it_created(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Manager(Mock(side_effect=[{"redis": BEFORE}, {"redis": BEFORE, "grafana": CREATED}]))
    assert enable("grafana", manager, monkeypatch) == ["removing grafana"]


@pytest.mark.parametrize(
    "manager",
    [
        Manager(Mock(side_effect=[{}, SandboxError("no answer")])),
        Manager(Mock(side_effect=[{}, {"grafana": CREATED}]), remove=Mock(side_effect=SandboxError("no answer"))),
    ],
    ids=["records", "removal"],
)
def test_failed_rollback_of_enable_hides_no_error(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    assert enable("grafana", manager, monkeypatch) == [
        "Addons: grafana may be there in part: no answer; remove it with: sandbox addons disable grafana"
    ]


@pytest.mark.parametrize(
    ("before", "begun", "disabled"),
    [({}, True, ["metrics-server"]), ({}, False, []), ({"metrics-server": "command"}, True, [])],
    ids=["enabled in part", "not begun", "enabled before"],
)
def test_failed_enable_in_minikube_leaves_what_was_enabled_before(
    before: dict[str, str], begun: bool, disabled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, calls = dict(before), list[str]()
    minikube = Manager(record=recorded.copy, disable=calls.append)
    partly = {"metrics-server": "command"} if begun else {}
    enable("metrics-server", Manager(), monkeypatch, minikube, lambda: recorded.update(partly))
    assert calls == disabled
