"""The walk over checks: at once, in order, never longer than it may."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from sandbox.doctor.check import Check, NoEngine, run
from sandbox.doctor.doctor_context import Scene
from sandbox.doctor.row import Finding, Status, ok
from sandbox.errors import SandboxError


def raising(trouble: Exception, scene: Scene) -> Finding:
    raise trouble


def test_checks_run_at_once_and_are_told_in_order(scene: Scene) -> None:
    barrier = threading.Barrier(3)

    def together(scene: Scene) -> Finding:
        barrier.wait(10)
        return ok("met")

    rows = run([Check(name, "", "fix", together) for name in "cab"], scene, seconds=20)
    assert [(one.id, one.evidence) for one in rows] == [("c", "met"), ("a", "met"), ("b", "met")]


def test_one_that_hangs_is_a_warning_and_keeps_nobody(scene: Scene) -> None:
    free = threading.Event()

    def hang(scene: Scene) -> Finding:
        free.wait(60)
        return ok("too late")

    late, well = run(
        [Check("a", "", "wait", hang), Check("b", "", "fix", lambda scene: ok("fine"))], scene, seconds=0.2
    )
    free.set()
    assert (late.status, late.evidence, late.fix) == (Status.WARN, "no answer within 0.2 s", "wait")
    assert well.status is Status.OK


@pytest.mark.parametrize(
    ("trouble", "status", "evidence"),
    [
        (NoEngine(), Status.SKIPPED, "needs the Docker Engine"),
        (SandboxError("it broke", details="a\nb"), Status.ERROR, "it broke: b"),
        (OSError(13, "Permission denied"), Status.ERROR, "[Errno 13] Permission denied"),
    ],
)
def test_a_look_that_fails_is_a_row(scene: Scene, trouble: Exception, status: Status, evidence: str) -> None:
    (found,) = run([Check("a", "", "fix", partial(raising, trouble))], scene, seconds=30)
    assert (found.status, found.evidence) == (status, evidence)


def test_a_bug_is_not_hidden(scene: Scene) -> None:
    with pytest.raises(ZeroDivisionError):
        run([Check("a", "", "fix", partial(raising, ZeroDivisionError()))], scene, seconds=30)
