"""`sandbox addons enable` that fails: what it created is removed, and the error is that of the first failure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.app import addon_changes
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
    session = SimpleNamespace(alone=lambda *_: nullcontext(), report=report, say=report.lines.append)
    sandbox: Any = SimpleNamespace(spec=Spec.default("demo"), session=session, names=None)
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
