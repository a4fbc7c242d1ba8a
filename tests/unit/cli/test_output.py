"""Progress, plans and what `dev` prints, for people and for programs, and who is asked before changes."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sandbox.app.agreement import Agreement, agree_on_tenancy
from sandbox.app.dev.dev_report import Container, Crash, DevReport
from sandbox.app.dev.loop import DevLoop
from sandbox.app.views.overview import Network, SandboxStatus, StepState
from sandbox.cli import output, prompts, push_images, sandboxes, up
from sandbox.cli.dev import DevOutput, dev
from sandbox.cli.live_output import Live
from sandbox.cli.options import Call
from sandbox.cli.output import JsonLines, Plain
from sandbox.cli.push_images import PushDisplay
from sandbox.components.cluster.existing.steps import TenancyStep
from sandbox.components.network.step import NetworkStep
from sandbox.errors import SandboxError, UsageError
from sandbox.images.progress import Action, Result
from sandbox.names import Home, Names
from sandbox.plan.lifecycle import survey
from sandbox.report import Reporter
from sandbox.step import State, Status
from tests.support import in_process
from tests.support.api_server import ApiServer, kubeconfig, serving
from tests.support.fakes import FakeEngine, FakeStep, NoWork


def tell(reporter: Reporter) -> None:
    reporter.event("began", "Cluster")
    reporter.event("progress", "Cluster", "starting")
    reporter.event("finished", "Cluster", "a node", 12.34)
    reporter.event("unchanged", "Network", "")
    reporter.event("failed", "Edge", "port 443 is taken")
    reporter.event("removed", "Registry", seconds=0.26)


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
    plain.event("began", "System images")
    for now in (1.0, 9.9, 10.0, 15.0, 21.0):
        plain.event("progress", "System images", f"{now:.0f} MB")
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
    reporter.event("began", HOSTILE)
    reporter.event("progress", HOSTILE, HOSTILE)
    reporter.event("finished", HOSTILE, HOSTILE, 1.0)
    reporter.event("failed", HOSTILE, HOSTILE)
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


PLACE = Container("shop", "web-1", "web")
CRASH = Crash(PLACE, 3, "OOMKilled", "first\nlast", "kubectl rollout undo")


def tell_dev(report: DevReport) -> None:
    report.watching([Path.cwd() / "app", Path("/else")])
    report.changed([Path.cwd() / "app/a.py"])
    report.progress("build", "Step 1/2")
    report.phase("build", "web:dev", 0.4, "")
    report.ready(1.234)
    report.copied(0.2)
    report.log(PLACE, "hello")
    report.failed(SandboxError("building failed", details="RUN false"))
    report.crashed(CRASH)


def test_each_phase_and_each_line_of_a_pod_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    tell_dev(DevOutput("plain"))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "watching /else, app; Ctrl-C leaves, and all stays up",
        "─ app/a.py",
        "✓ build web:dev                               0.40 s",
        "  ready                                       1.23 s  after the change was seen",
        "  copied                                      0.20 s  after the change was seen; a program that does not "
        "reload by itself needs `restart: true`",
        "web-1 | hello",
        "error[failed]: building failed",
        "  RUN false",
        "✗ web-1 web ended with status 3 (OOMKilled); its last lines:",
        "  first",
        "  last",
        "  take this roll-out back: kubectl rollout undo",
    ]
    tell_dev(DevOutput("quiet"))
    assert capsys.readouterr().err.splitlines() == lines[6:]


def test_programs_read_one_json_object_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    tell_dev(DevOutput("json"))
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    names = ["watching", "changed", "progress", "phase", "ready", "copied", "log", "failed", "crashed"]
    assert [one["event"] for one in events] == names
    phase, log, failed, crashed = events[3], *events[6:]
    assert (phase["phase"], phase["what"], phase["seconds"]) == ("build", "web:dev", 0.4)
    assert (log["pod"], log["container"], log["line"]) == ("web-1", "web", "hello")
    assert (failed["id"], failed["details"]) == ("failed", "RUN false")
    assert (crashed["status"], crashed["lines"]) == (3, "first\nlast")


@pytest.mark.usefixtures("quiet")
def test_spec_from_a_pipe_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dev -f <(…)`: the second time a pipe is empty, which is the spec of another sandbox."""
    monkeypatch.setattr(DevLoop, "run", lambda *_: pytest.fail("it began"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SandboxError, match="is not a regular file"):
        in_process.run(dev, "-f", tmp_path / "pipe")


@pytest.mark.usefixtures("quiet")
def test_dev_fails_after_its_spec_file_was_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sandbox.yaml is moved away during `dev` → an error, and no `up` of the default sandbox."""
    loops: list[DevLoop] = []
    monkeypatch.setattr(DevLoop, "run", lambda loop, _: loops.append(loop))
    (tmp_path / "sandbox.yaml").write_text("name: demo\n")
    in_process.run(dev)
    assert loops[0].choose().name == "demo"
    (tmp_path / "sandbox.yaml").unlink()
    with pytest.raises(SandboxError, match=r"sandbox\.yaml"):
        loops[0].choose()


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serving() as server:
        yield server


@pytest.fixture
def step(names: Names, server: ApiServer) -> TenancyStep:
    kubeconfig(names.home.kubeconfig, server.server_port, context="team")
    return TenancyStep(
        names=names, paths=(names.home.kubeconfig,), context="team", namespace="mine", owner="ann@laptop"
    )


def answer(monkeypatch: pytest.MonkeyPatch, step: TenancyStep, typed: str) -> tuple[BaseException | None, str]:
    """Ask at a terminal; what came of it, and what was shown."""
    monkeypatch.setattr(output, "has_terminal", lambda: True)

    @click.command()
    def command() -> None:
        agree_on_tenancy([FakeStep("other", set()), step], prompts.Asking())

    ran = CliRunner().invoke(command, input=typed)
    return ran.exception, ran.stderr


def changed(server: ApiServer) -> set[str]:
    return {method for method, *_ in server.asked} - {"GET"}


def test_objects_to_create_are_shown_and_confirmed(
    monkeypatch: pytest.MonkeyPatch, step: TenancyStep, server: ApiServer
) -> None:
    for typed in ("n\n", "\n", "y\n"):
        trouble, said = answer(monkeypatch, step, typed)
        assert getattr(trouble, "id", None) == (None if typed == "y\n" else "declined")
        assert f"team (http://127.0.0.1:{server.server_port})" in said
        assert "mine: nothing of this sandbox is there yet" in said
        assert "dev.sandbox.name=demo" in said and "sandbox down" in said
        assert changed(server) == set() and (typed == "y\n" or not step.names.folder.exists())


def test_prompt_appears_once_and_again_for_another_creator(
    monkeypatch: pytest.MonkeyPatch, step: TenancyStep, server: ApiServer
) -> None:
    step.apply(NoWork())
    before = set(server.objects)
    assert answer(monkeypatch, step, "") == (None, "")
    trouble, said = answer(monkeypatch, replace(step, owner="bob@desk"), "n\n")
    assert isinstance(trouble, SandboxError) and "was made by ann@laptop" in said
    assert set(server.objects) == before


@pytest.mark.security(17)
def test_without_a_terminal_options_give_consent_beforehand(step: TenancyStep, server: ApiServer) -> None:
    """`up --yes` where a colleague has that name and namespace → refused with their name; --take-over says it."""
    for agreement in (prompts.Asking(), Agreement()):
        with pytest.raises(UsageError, match="'demo' would be created in an existing cluster") as caught:
            agree_on_tenancy([step], agreement)
        assert (caught.value.id, "--yes" in caught.value.fix) == ("consent", True)
        assert "mine" in caught.value.details
        assert not step.names.folder.exists() and changed(server) == set()
    agree_on_tenancy([step], prompts.Asking(yes=True))
    step.apply(NoWork())
    before = dict(server.objects)
    theirs = replace(step, owner="bob@desk")
    for agreement in (prompts.Asking(yes=True), Agreement()):
        with pytest.raises(UsageError, match="was made by ann@laptop") as caught:
            agree_on_tenancy([theirs], agreement)
        assert caught.value.id == "not-ours" and "--take-over" in caught.value.fix
    assert server.objects == before
    step.connect()
    agree_on_tenancy([theirs], prompts.Asking(take_over=True))


@pytest.mark.parametrize("name", ["compose.yaml", "Dockerfile", "skaffold.yaml", "Tiltfile"])
def test_project_without_a_spec_is_pointed_to_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Else `up` makes an empty cluster, and it is not said why."""
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    prompts.note_project(said.append)
    assert said == []
    (tmp_path / name).touch()
    prompts.note_project(said.append)
    assert said == [f"there is no sandbox.yaml here, so nothing of {name} runs; `sandbox init` writes one"]
    (tmp_path / "sandbox.yaml").touch()
    prompts.note_project(said.append)
    assert len(said) == 1
