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

    found: list[dict[str, Record] | SandboxError]
    refused: SandboxError | None = None
    removed: list[str] = field(default_factory=list)
    uses: tuple[Any, ...] = ()
    asked: tuple[str, ...] = ()

    def records(self) -> dict[str, Record]:
        found = self.found.pop(0)
        if isinstance(found, SandboxError):
            raise found
        return found

    def remove(self, record: Record, say: Callable[[str], None]) -> None:
        if self.refused:
            raise self.refused
        say(f"removing {record.name}")
        self.removed.append(record.name)


class Told(Silent):
    """Keeps what failed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def failed(self, step: str, brief: str) -> None:
        self.lines.append(f"{step}: {brief}")


def enable(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """Enable grafana where that fails; returns the error, and what is reported."""

    def fail(*_: object) -> None:
        raise SandboxError("the pods are not ready")

    monkeypatch.setattr(addon_changes, "_managers", lambda _: (manager, None))
    monkeypatch.setattr(addon_changes, "require_up", lambda _: None)
    monkeypatch.setattr(lifecycle, "up", fail)
    report = Told()
    session = SimpleNamespace(report=report, say=report.lines.append)
    sandbox: Any = SimpleNamespace(
        spec=Spec.default("demo"), session=session, names=None, alone=lambda _: nullcontext()
    )
    with pytest.raises(SandboxError) as caught:
        addon_changes.enable(sandbox, "grafana")
    return caught.value.brief, report.lines


def test_failed_enable_removes_what_it_created(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Manager([{"redis": BEFORE}, {"redis": BEFORE, "grafana": CREATED}])
    assert enable(manager, monkeypatch) == ("the pods are not ready", ["removing grafana"])
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
    brief, lines = enable(manager, monkeypatch)
    assert brief == "the pods are not ready"
    assert lines == ["Addons: grafana may be there in part: no answer; remove it with: sandbox addons disable grafana"]


@dataclass(frozen=True)
class MinikubeAddons:
    """minikube's addons, of which none can be enabled: `enabling` says how far it got before it failed."""

    recorded: dict[str, str] = field(default_factory=dict)
    disabled: list[str] = field(default_factory=list)
    enabling: bool = True
    uses: tuple[Any, ...] = ()
    asked: tuple[Any, ...] = ()
    title: str = "Addons of minikube"

    def record(self) -> dict[str, str]:
        return dict(self.recorded)

    def listed(self) -> dict[str, bool]:
        return {"olm": True, "metrics-server": False}

    def disable(self, addon: str) -> None:
        self.disabled.append(addon)
        self.recorded.pop(addon, None)


def minikube_sandbox(step: MinikubeAddons, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A sandbox on minikube where `enable` records the addon, if it gets so far, and then fails."""

    def fail(steps: list[MinikubeAddons], *_: object) -> None:
        if step.enabling:
            step.recorded.update(dict.fromkeys((use.source for use in steps[0].asked), "command"))
        raise SandboxError("timed out")

    monkeypatch.setattr(addon_changes, "_managers", lambda _: (Manager([{}]), step))
    monkeypatch.setattr(addon_changes, "require_up", lambda _: None)
    monkeypatch.setattr(lifecycle, "up", fail)
    session = SimpleNamespace(report=Told(), say=lambda _: None)
    spec = Spec.model_validate({"name": "demo", "cluster": {"provider": "minikube"}})
    return SimpleNamespace(spec=spec, session=session, names=None, name="demo", alone=lambda _: nullcontext())


@pytest.mark.parametrize(
    ("before", "enabling", "disabled"),
    [({}, True, ["metrics-server"]), ({}, False, []), ({"metrics-server": "command"}, True, [])],
    ids=["enabled in part", "not begun", "enabled before"],
)
def test_failed_enable_in_minikube_leaves_what_was_enabled_before(
    before: dict[str, str], enabling: bool, disabled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = MinikubeAddons(dict(before), enabling=enabling)
    with pytest.raises(SandboxError, match="timed out"):
        addon_changes.enable(minikube_sandbox(step, monkeypatch), "metrics-server")
    assert (step.recorded, step.disabled) == (before, disabled)
