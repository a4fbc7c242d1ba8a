"""Progress and plans, for people and for programs, and who is asked before something is rebuilt."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from sandbox.app.views.overview import Network, SandboxStatus, StepState
from sandbox.cli import output, prompts, push_images, sandboxes, up
from sandbox.cli.live_output import Live
from sandbox.cli.options import Call
from sandbox.cli.output import JsonLines, Plain
from sandbox.cli.push_images import PushDisplay
from sandbox.components.network.step import NetworkStep
from sandbox.errors import SandboxError
from sandbox.images.progress import Action, Result
from sandbox.names import Home
from sandbox.plan.lifecycle import survey
from sandbox.report import Reporter
from sandbox.step import State, Status
from tests.support.fakes import FakeEngine, FakeStep


def tell(reporter: Reporter) -> None:
    reporter.began("Cluster")
    reporter.progress("Cluster", "starting")
    reporter.finished("Cluster", "a node", 12.34)
    reporter.unchanged("Network", "")
    reporter.failed("Edge", "port 443 is taken")
    reporter.removed("Registry", 0.26)


def test_progress_is_a_line_for_each_step_that_ended_or_an_object_for_each_event() -> None:
    out = io.StringIO()
    tell(Plain(out))
    assert [line.split() for line in out.getvalue().splitlines()] == [
        ["✓", "Cluster", "12.3", "s", "a", "node"],
        ["✓", "Network", "unchanged"],
        ["✗", "Edge", "failed", "port", "443", "is", "taken"],
        ["✓", "Registry", "0.3", "s", "removed"],
    ]
    out = io.StringIO()
    tell(JsonLines(out))
    events = list(map(json.loads, out.getvalue().splitlines()))
    assert [event["event"] for event in events] == ["began", "progress", "finished", "unchanged", "failed", "removed"]
    assert events[2].items() >= {"step": "Cluster", "detail": "a node", "seconds": 12.34}.items()
    assert events[4].items() >= {"step": "Edge", "detail": "port 443 is taken"}.items()


def test_long_step_says_every_ten_seconds_how_far_it_is() -> None:
    """A pull of minutes off a terminal, such as in CI → a line at least every ten seconds while it goes on."""
    out, now = io.StringIO(), 0.0
    plain = Plain(out, lambda: now)
    plain.began("System images")
    for now in (1.0, 9.9, 10.0, 15.0, 21.0):
        plain.progress("System images", f"{now:.0f} MB")
    assert [line.split() for line in out.getvalue().splitlines()] == [
        ["…", "System", "images", "10", "s", "10", "MB"],
        ["…", "System", "images", "21", "s", "21", "MB"],
    ]


HOSTILE = "Pod a\x1b[2J\x1b]0;taken\x07\x9b31m"  # as a pod may be called in a manifest, or write its termination log


@pytest.mark.security(12)
@pytest.mark.parametrize("terminal", [True, False])
def test_progress_with_escape_sequences_is_plain(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    """A manifest's name and a pod's last words that rewrite the terminal → shown without control characters."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    reporter: Reporter = Live() if terminal else Plain(out, lambda: 100.0 * len(out.getvalue()))
    reporter.began(HOSTILE)
    reporter.progress(HOSTILE, HOSTILE)
    reporter.finished(HOSTILE, HOSTILE, 1.0)
    reporter.failed(HOSTILE, HOSTILE)
    assert "Pod a" in out.getvalue() and not {"\x1b", "\x07", "\x9b"} & set(out.getvalue())


@pytest.mark.security(12)
def test_state_with_escape_sequences_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """The same in what `status` and `up --plan` show, and in notes of a push → shown without control characters."""
    steps = [
        StepState("apply", HOSTILE, "drifted", HOSTILE),
        StepState("cluster", "Cluster", "drifted", "stopped; sandbox start demo"),
    ]
    network = Network(open=False, urls=(), without_certificate=(), warning="")
    drifted, stopped = sandboxes._lines(SandboxStatus("demo", steps, network, ()))
    assert "drifted" in drifted and "drifted" not in stopped
    print(drifted)
    step = NetworkStep(FakeEngine(), Home(Path("/"), Path("/"), Path("/")).sandbox("demo"))
    up._show(Call(), "demo", [(step, Status(State.STALE, HOSTILE, HOSTILE))], ())
    display = PushDisplay(Plain(sys.stdout), print, "Push")
    display.finished(Result("app:1", "sha256:d", Action.UPLOADED, 1, 1.5, (HOSTILE,)))
    said = capsys.readouterr().out
    assert said.count("Pod a") >= 5 and not [part for part in ("\x1b[2J", "\x1b]", "\x07", "\x9b") if part in said]


def test_push_is_a_step_and_each_image_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_images, "EVERY", 0.0)
    out, notes = io.StringIO(), list[str]()
    with PushDisplay(JsonLines(out), notes.append, "Push") as display:
        display.planned(2, 5, 110_000_000)
        display.spared(10_000_000)
        display.sent(20_000_000)
        display.finished(Result("app:1", "sha256:d", Action.UPLOADED, 60_000_000, 1.5, ("a note",)))
        display.failed("absent:1", SandboxError("no such image"))
    text = out.getvalue()
    assert "2 images, 5 blobs, 110.0 MB" in text and "20.0 MB of 100.0 MB, " in text
    assert '"step": "app:1", "detail": "uploaded, 60.0 MB", "seconds": 1.5' in text
    assert '"failed", "step": "absent:1", "detail": "no such image"' in text
    assert notes == ["  a note"] and display.bytes == 20_000_000


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
    actions = {row["step"]: row["action"] for row in found["steps"]}
    assert actions == {"registry": "repair", "cluster": "rebuild", "dns": "look at", "addons": "make"}
    assert {row["step"]: row["loses"] for row in found["steps"] if row["loses"]} == {"cluster": "its data"}
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
