"""The walks over a plan, judged by the world they leave behind."""

from __future__ import annotations

import errno
import signal
import threading
import time
from functools import partial
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import Away, SandboxError
from sandbox.plan import lifecycle
from sandbox.plan.lifecycle import WIDTH, down, stop, survey, up
from sandbox.report import Reporter
from sandbox.step import Overtaken, State, Status, Work
from sandbox.system import interruption, process
from sandbox.system.process import ToolFailed
from sandbox.system.wait import wait_until
from tests.support.fakes import FakeStep, RecordingReporter

PATIENCE = 20.0


def fail(work: Work | None = None) -> None:
    raise SandboxError("it broke")


def interrupt_main(work: Work) -> None:
    """Interrupt the command as a terminal would, then work on until told to stop."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)
    interruption.pause(PATIENCE)
    raise AssertionError("was not told to stop")


def chain(world: set[str], *names: str) -> list[FakeStep]:
    """Steps that each need the one before."""
    return [FakeStep(name, world, requires=names[max(0, i - 1) : i]) for i, name in enumerate(names)]


def test_up_makes_all_and_then_nothing() -> None:
    world: set[str] = set()
    plan = chain(world, "network", "cluster", "ingress")
    first, second = RecordingReporter(), RecordingReporter()
    assert up(plan, first) is True
    assert world == {"network", "cluster", "ingress"}
    assert first.of("finished") == ["Network", "Cluster", "Ingress"]
    assert up(plan, second) is False
    assert second.events == [("unchanged", name) for name in ("Network", "Cluster", "Ingress")]
    assert second.details["unchanged", "Network"] == "whole"


def test_stale_step_is_refused_early_and_recreated_if_allowed() -> None:
    world, stale = {"cluster"}, {"cluster"}
    plan = [FakeStep("registry", world), FakeStep("cluster", world, stale=stale)]
    with pytest.raises(SandboxError, match="updated in place") as caught:
        up(plan, Reporter())
    assert (world, stale) == ({"cluster"}, {"cluster"})
    assert caught.value.id == "must-rebuild"
    assert caught.value.details == "of another kind\nrecreating it deletes: its data"
    assert caught.value.fix.startswith("sandbox up --recreate cluster ")
    assert up(plan, Reporter(), recreate=["cluster"])
    assert (world, stale) == ({"cluster", "registry"}, set())


def test_step_found_stale_during_the_walk_is_refused() -> None:
    world, stale = {"a", "b"}, set[str]()
    plan = [FakeStep("a", world, drifted={"a"}, making=lambda work: stale.add("b"))]
    plan.append(FakeStep("b", world, requires=("a",), stale=stale))
    with pytest.raises(SandboxError, match="updated in place"):
        up(plan, Reporter())
    assert world == {"a", "b"}


@pytest.mark.parametrize("grows", [True, False])
def test_growing_step_follows_nodes_that_join_after_it(*, grows: bool) -> None:
    world, reporter = set[str](), RecordingReporter()
    ingress = FakeStep("ingress", world, requires=("cluster",), grows=grows)

    def joins_late(work: Work) -> None:
        work.say("nearly there")
        work.usable()
        wait_until(lambda: None if reporter.of("finished") else "not made", what="the ingress", timeout=PATIENCE)
        ingress.drifted.add("ingress")

    assert up([FakeStep("cluster", world, making=joins_late), ingress], reporter)
    assert ingress.drifted == (set() if grows else {"ingress"})
    assert reporter.of("finished") == ["Ingress", "Cluster"]
    assert reporter.details["progress", "Cluster"] == "nearly there"


def test_a_usable_step_that_fails_takes_its_dependents_along() -> None:
    world: set[str] = set()
    made = threading.Event()

    def fails_late(work: Work) -> None:
        work.usable()
        assert made.wait(PATIENCE)
        fail()

    plan = [
        FakeStep("cluster", world, making=fails_late),
        FakeStep("wiring", world, requires=("cluster",), making=lambda work: made.set()),
    ]
    with pytest.raises(SandboxError, match="it broke"):
        up(plan, Reporter())
    assert world == set()


def test_failure_rolls_back_only_what_this_run_created() -> None:
    world, drifted, order = {"before", "drifted"}, {"drifted"}, list[str]()
    names = ("before", "drifted", "new", "newer", "broken", "never")
    plan = chain(world, *names)
    for step in plan:
        step.drifted, step.unmaking = drifted, partial(order.append, step.name)
    plan[4].making = fail
    reporter = RecordingReporter()
    with pytest.raises(SandboxError, match="it broke"):
        up(plan, reporter)
    assert world == {"before", "drifted"}
    assert order == ["broken", "newer", "new"]
    assert reporter.details["failed", "Broken"] == "it broke"
    assert reporter.of("removed") == ["Broken", "Newer", "New"]
    assert "Never" not in reporter.of("began")
    with pytest.raises(SandboxError):
        up(plan, Reporter(), keep=True)
    assert world == set(names) - {"never"}


@pytest.mark.parametrize("last_fails", [False, True])
def test_step_that_may_fail_alone_leaves_the_rest_unless_another_fails(last_fails: bool) -> None:
    world, reporter = set[str](), RecordingReporter()
    plan = [
        FakeStep("first", world),
        FakeStep("spared", world, requires=("first",), making=fail),
        FakeStep("needing", world, requires=("spared",)),
        FakeStep("last", world, requires=("first",)),
    ]
    if last_fails:
        plan[-1].making = fail
    with pytest.raises(SandboxError, match="it broke"):
        up(plan, reporter, spared=["spared"])
    assert world == (set() if last_fails else {"first", "spared", "last"})
    assert reporter.details["failed", "Spared"] == "it broke"


def test_step_that_is_overtaken_is_not_told_as_failed() -> None:
    """`dev` brings all up, and files change again while it waits for pods."""

    def leave(work: Work) -> None:
        raise Overtaken("the files have changed again")

    reporter = RecordingReporter()
    with pytest.raises(Overtaken):
        up([FakeStep("a", set(), making=leave)], reporter, spared=("a",))
    assert reporter.of("failed") == [] and reporter.of("interrupted") == ["A"]


@pytest.mark.fault(3)
def test_step_whose_engine_goes_and_returns_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine goes away in the middle of a step and comes back → the step is made again, nothing is taken back."""
    monkeypatch.setattr(interruption, "pause", lambda seconds: None)
    world, report, left = set[str](), RecordingReporter(), [Away("the engine went away")] * 2

    def hang_up(work: Work) -> None:
        if left:
            raise left.pop()

    assert up([FakeStep("a", world), FakeStep("b", world, requires=("a",), making=hang_up)], report)
    assert world == {"a", "b"} and not left
    assert report.of("began") == ["A", "B"] and report.of("failed") == []


@pytest.mark.fault(3)
def test_engine_that_stays_away_fails_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine goes away and does not come back within a minute → the step has failed."""
    monkeypatch.setattr(lifecycle, "RETURN", 0.0)

    def hang_up(work: Work) -> None:
        raise Away("the engine went away")

    with pytest.raises(Away):
        up([FakeStep("a", set(), making=hang_up)], Reporter())


def test_roll_back_takes_back_what_stays_in_the_cluster() -> None:
    world, taken = {"cluster"}, list[str]()

    class Kept(FakeStep):
        def revoke(self) -> bool:
            taken.append(self.name)
            return self.undo()

    plan = [FakeStep("cluster", world), Kept("accounts", world, requires=("cluster",))]
    plan.append(FakeStep("https", world, requires=("accounts",), making=fail))
    with pytest.raises(SandboxError, match="it broke"):
        up(plan, Reporter())
    assert (world, taken) == ({"cluster"}, ["accounts"])
    up(plan[:2], Reporter())
    down(plan[:2], Reporter())
    assert (world, taken) == (set(), ["accounts"]), "with the cluster it goes anyway"


def test_failing_undo_hides_neither_the_rest_nor_first_error() -> None:
    world, reporter = set[str](), RecordingReporter()
    plan = chain(world, "a", "b", "c")
    plan[1].unmaking = Mock(side_effect=RuntimeError("stuck"))
    plan[2].making = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device", "/var/lib/thing"))
    with pytest.raises(OSError, match="No space left"):
        up(plan, reporter)
    assert world == {"b"}
    assert "stuck" in reporter.details["failed", "B"]
    assert reporter.details["failed", "C"] == "No space left on device"


def test_failing_undo_names_its_own_cause_and_not_that_of_the_first_error() -> None:
    world, reporter = set[str](), RecordingReporter()
    plan = chain(world, "a", "b")
    plan[0].unmaking = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device", "/var/lib/thing"))
    plan[1].making = fail
    with pytest.raises(SandboxError, match="it broke"):
        up(plan, reporter)
    assert reporter.details["failed", "A"] == "No space left on device"


@pytest.mark.parametrize("times", [1, 2])
def test_step_drifted_after_apply_is_applied_once_more(times: int) -> None:
    world, left, made = set[str](), [times], list[str]()

    class Moving(FakeStep):
        def check(self) -> Status:
            if self.name in self.world and left[0]:
                left[0] -= 1
                return Status(State.DRIFTED, "1 of 2 pods ready")
            return super().check()

    step = Moving("ingress", world, making=lambda work: made.append("ingress"))
    if times == 1:
        assert up([step], Reporter())
    else:
        with pytest.raises(SandboxError, match="is not ready") as caught:
            up([step], Reporter())
        assert caught.value.id == "not-ready"
    assert made == ["ingress"] * 2


def test_after_an_error_no_step_begins_that_waited_for_a_thread() -> None:
    world: set[str] = set()
    full, reporter = threading.Barrier(WIDTH), RecordingReporter()

    def make(name: str, work: Work) -> None:
        full.wait(PATIENCE)
        if name == "0":
            fail()
        interruption.pause(PATIENCE)

    plan = [FakeStep(str(n), world, making=partial(make, str(n))) for n in range(WIDTH * 2)]
    with pytest.raises(SandboxError, match="it broke"):
        up(plan, reporter)
    assert sorted(reporter.of("began")) == sorted(map(str, range(WIDTH)))
    assert world == set()


@pytest.mark.fault(5)
def test_interrupt_stops_waits_and_programs_and_removes_what_they_made() -> None:
    """An interrupt while steps wait → they end, with their programs, and what this run made is taken away."""
    world, output, reporter = set[str](), list[str](), RecordingReporter()
    running = threading.Event()

    def runs(work: Work) -> None:
        process.run(["sh", "-c", "echo up; exec sleep 100"], timeout=PATIENCE * 2, on_line=lambda line: running.set())
        raise AssertionError("was not stopped")

    def interrupts(work: Work) -> None:
        assert running.wait(PATIENCE)
        interrupt_main(work)

    def undo() -> None:
        output.append(process.run(["echo", "gone"], timeout=PATIENCE))

    plan = [
        FakeStep("a", world),
        FakeStep("b", world, making=lambda work: interruption.pause(PATIENCE)),
        FakeStep("c", world, making=runs, unmaking=undo),
        FakeStep("d", world, making=interrupts),
    ]
    with pytest.raises(KeyboardInterrupt):
        up(plan, reporter)
    assert (world, output, reporter.of("failed")) == (set(), ["gone\n"], [])
    interruption.check()  # and whatever comes next is not stopped


@pytest.mark.fault(4, 5)
def test_step_that_does_not_stop_does_not_block_the_roll_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the engine hangs in a step → after seconds what was made is taken away; the step is named."""
    monkeypatch.setattr(lifecycle, "GRACE", 1.0)
    world, released, went_on = set[str](), threading.Event(), list[str]()

    def hangs(work: Work) -> None:
        released.wait(PATIENCE)
        try:
            interruption.check()
        finally:
            went_on.append("told to stop all the same")

    def undo() -> None:
        interruption.check()
        interruption.pause(0.01)

    reporter = RecordingReporter()
    plan = [
        FakeStep("a", world, unmaking=undo),
        FakeStep("b", world, making=hangs, unmaking=undo),
        FakeStep("c", world, making=interrupt_main, unmaking=undo),
    ]
    try:
        with pytest.raises(KeyboardInterrupt):
            up(plan, reporter)
        assert world == set()
        assert reporter.of("failed") == ["B"] and reporter.of("interrupted") == ["C"]
        released.set()
        while not went_on:
            time.sleep(0.01)
    finally:
        released.set()
        interruption.clear()


def test_down_goes_backward_continues_after_an_error_and_raises_the_first() -> None:
    world, reporter = {"a", "c"}, RecordingReporter()
    plan = chain(world, "a", "b", "c")
    down(plan, reporter)
    assert (world, reporter.events) == (set(), [("removed", "C"), ("removed", "A")])
    world |= {"a", "b", "c"}
    plan[2].unmaking = fail
    plan[1].unmaking = lambda: process.run(["false"], timeout=PATIENCE)
    with pytest.raises(SandboxError, match="it broke"):
        down(plan, reporter)
    assert world == {"b", "c"}
    assert reporter.of("failed") == ["C", "B"]
    with pytest.raises(ToolFailed):
        down(plan[:2], Reporter())


def test_stop_goes_backward_and_continues_after_an_error() -> None:
    resting: set[str] = set()
    plan = [FakeStep(name, {"a", "c"}, resting=resting) for name in "abc"]
    reporter = RecordingReporter()
    assert stop(plan, reporter)
    assert reporter.events == [("stopped", "C"), ("stopped", "A")]
    assert not stop(plan, Reporter())
    plan, reporter = [FakeStep(name, {"a", "b", "c"}) for name in "abc"], RecordingReporter()
    plan[1].unmaking = fail
    with pytest.raises(SandboxError, match="it broke"):
        stop(plan, reporter)
    assert (reporter.of("stopped"), reporter.of("failed")) == (["C", "A"], ["B"])


def test_plan_changes_nothing_and_skips_checks_behind_missing() -> None:
    world = {"a", "c", "d"}
    plan = [
        FakeStep("a", world),
        FakeStep("b", world, requires=("a",)),
        FakeStep("c", world, requires=("b",)),
        FakeStep("d", world, requires=("a",), drifted={"d"}),
        FakeStep("e", world, requires=("d",)),
    ]
    found = {step.name: status for step, status in survey(plan)}
    assert {name: status.state for name, status in found.items()} == {
        "a": State.READY,
        "b": State.ABSENT,
        "c": State.ABSENT,
        "d": State.DRIFTED,
        "e": State.UNSEEN,
    }
    assert found["c"].detail == "waits for b"
    assert world == {"a", "c", "d"}


def test_survey_checks_a_step_together_with_one_that_delays_no_checks() -> None:
    world, next_is_checked = {"proof", "next", "last"}, threading.Event()

    class Proof(FakeStep):
        delays_checks = False

        def check(self) -> Status:
            assert next_is_checked.wait(PATIENCE)
            return super().check()

    class Next(FakeStep):
        def check(self) -> Status:
            next_is_checked.set()
            return super().check()

    proof = Proof("proof", world)
    plan = [proof, Next("next", world, requires=("proof",)), FakeStep("last", world, requires=("next",))]
    assert [status.state for _, status in survey(plan)] == [State.READY] * 3
    proof.drifted.add("proof")
    assert [status.state for _, status in survey(plan)] == [State.DRIFTED, State.UNSEEN, State.UNSEEN]
    world.remove("proof")
    assert [status.state for _, status in survey(plan)] == [State.ABSENT] * 3


@st.composite
def graphs(draw: st.DrawFn) -> dict[int, tuple[int, ...]]:
    """Acyclic needs: number -> the smaller numbers it needs."""
    size = draw(st.integers(1, 14))
    return {n: tuple(draw(st.sets(st.integers(0, n - 1), max_size=4))) if n else () for n in range(size)}


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_any_plan_is_walked_in_an_order_that_respects_needs(graph: dict[int, tuple[int, ...]]) -> None:
    world, broken = set[str](), list[str]()

    def watch(name: int, work: Work) -> None:
        if not {str(need) for need in graph[name]} <= world:
            broken.append(str(name))

    plan = [
        FakeStep(str(name), world, requires=tuple(map(str, needs)), making=partial(watch, name))
        for name, needs in graph.items()
    ]
    assert up(plan[::-1], Reporter())
    assert (world, broken) == ({str(name) for name in graph}, [])
    assert all(status.state is State.READY for _, status in survey(plan))
