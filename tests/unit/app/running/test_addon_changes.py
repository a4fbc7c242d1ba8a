"""`sandbox addons enable` that fails: what it created is removed, and the error is that of the first failure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.app.running import addon_changes
from sandbox.components.addons.addon_objects import Record
from sandbox.config.schema import Spec
from sandbox.errors import SandboxError
from sandbox.plan import lifecycle
from sandbox.report import Silent

BEFORE, CREATED = (Record(name=name, source=name, by="command", digest="", objects=()) for name in ("redis", "grafana"))


@dataclass(frozen=True)
class Manager:
    """Has the records that it is given, one after another, and removes none for which it has an error."""

    answers: list[dict[str, Record] | SandboxError]
    refused: SandboxError | None = None
    removed: list[str] = field(default_factory=list)
    uses: tuple[Any, ...] = ()
    asked: tuple[str, ...] = ()

    def records(self) -> dict[str, Record]:
        answer = self.answers.pop(0)
        if isinstance(answer, SandboxError):
            raise answer
        return answer

    def remove(self, record: Record, say: Callable[[str], None]) -> None:
        if self.refused:
            raise self.refused
        say(f"removing {record.name}")
        self.removed.append(record.name)


@dataclass(frozen=True)
class MinikubeAddons:
    """A fake of minikube's addons; `recorded` has each one that was enabled, completely or not."""

    recorded: dict[str, str]
    disabled: list[str] = field(default_factory=list)
    uses: tuple[Any, ...] = ()
    asked: tuple[Any, ...] = ()

    def record(self) -> dict[str, str]:
        return dict(self.recorded)

    def disable(self, addon: str) -> None:
        self.disabled.append(addon)
        self.recorded.pop(addon, None)


class Report(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def failed(self, step: str, brief: str) -> None:
        self.lines.append(f"{step}: {brief}")


def enable(
    addon: str,
    manager: Manager,
    monkeypatch: pytest.MonkeyPatch,
    minikube: MinikubeAddons | None = None,
    begin: Callable[[], object] = lambda: None,
) -> list[str]:
    """Enable an addon; it fails after `begin`. Return what is reported."""

    def fail(*_: object) -> None:
        begin()
        raise SandboxError("the pods are not ready")

    monkeypatch.setattr(addon_changes, "_managers", lambda _: (manager, minikube))
    monkeypatch.setattr(addon_changes, "require_up", lambda _: None)
    monkeypatch.setattr(lifecycle, "up", fail)
    report = Report()
    spec = Spec.model_validate({"name": "demo", "cluster": {"provider": "minikube" if minikube else "kind"}})
    session = SimpleNamespace(report=report, say=report.lines.append)
    sandbox: Any = SimpleNamespace(spec=spec, session=session, names=None, alone=lambda _: nullcontext())
    with pytest.raises(SandboxError, match="the pods are not ready"):
        addon_changes.enable(sandbox, addon)
    return report.lines


def test_failed_enable_removes_what_it_created(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Manager([{"redis": BEFORE}, {"redis": BEFORE, "grafana": CREATED}])
    assert enable("grafana", manager, monkeypatch) == ["removing grafana"]
    assert manager.removed == ["grafana"]


@pytest.mark.parametrize(
    "manager",
    [
        Manager([{}, SandboxError("no answer")]),
        Manager([{}, {"grafana": CREATED}], refused=SandboxError("no answer")),
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
    minikube = MinikubeAddons(dict(before))
    partly = {"metrics-server": "command"} if begun else {}
    enable("metrics-server", Manager([{}]), monkeypatch, minikube, lambda: minikube.recorded.update(partly))
    assert (minikube.recorded, minikube.disabled) == (before, disabled)
