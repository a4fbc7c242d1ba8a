"""What `up --plan` prints, for people and for programs, and who is asked before something is rebuilt."""

from __future__ import annotations

import json

import pytest

from sandbox.cli import output, prompts, up
from sandbox.cli.options import Call
from sandbox.plan.lifecycle import survey
from tests.support.fakes import FakeStep

WORLD = {"registry", "cluster", "dns", "network"}


def plan() -> list[FakeStep]:
    return [
        FakeStep("network", set(WORLD)),
        FakeStep("registry", set(WORLD), drifted={"registry"}),
        FakeStep("cluster", set(WORLD), stale={"cluster"}),
        FakeStep("dns", set(WORLD), requires=("cluster",)),
        FakeStep("addons", set(WORLD)),
    ]


def agreed(*named: str) -> set[str]:
    """The steps that may be recreated, where `named` were given as options."""
    return set(prompts.Asking().recreate(survey(plan()), named))


def test_plan_names_created_repaired_recreated_and_lost(capsys: pytest.CaptureFixture[str]) -> None:
    assert up._show(Call(), "demo", survey(plan()), ())
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["repair", "Registry", "half"],
        ["rebuild", "Cluster", "of", "another", "kind"],
        ["deletes:", "its", "data;", "only", "with", "--recreate", "cluster"],
        ["look", "at", "Dns", "waits", "for", "cluster"],
        ["make", "Addons"],
    ]
    up._show(Call(), "demo", survey(plan()), ("cluster",))
    assert "its data; agreed to" in capsys.readouterr().out


def test_programs_get_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    up._show(Call(output="json"), "demo", survey(plan()), ())
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["changes"]) == ("demo", True)
    assert [(row["step"], row["action"], row["loses"]) for row in found["steps"]] == [
        ("registry", "repair", ""),
        ("cluster", "rebuild", "its data"),
        ("dns", "look at", ""),
        ("addons", "make", ""),
    ]
    assert not up._show(Call(output="json"), "demo", survey(plan()[:1]), ())
    assert json.loads(capsys.readouterr().out) == {"name": "demo", "changes": False, "steps": []}


def test_at_a_terminal_the_user_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answers = iter((True, False))

    def confirm(text: str, *, err: bool) -> bool:
        asked.append(text)
        return next(answers)

    monkeypatch.setattr("click.confirm", confirm)
    assert (agreed(), agreed("cluster")) == (set(), {"cluster"})
    monkeypatch.setattr(output, "has_terminal", lambda: True)
    assert agreed() == set() and not asked  # stderr, where the question would be, is no terminal
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert (agreed(), agreed()) == ({"cluster"}, set())
    assert "its data" in asked[0]
