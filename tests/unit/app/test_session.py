"""What a session reports of work that is no walk over a plan."""

from __future__ import annotations

import pytest

from sandbox.app.session import Session
from sandbox.errors import SandboxError
from tests.support.fakes import RecordingReporter


def test_task_is_reported_with_what_was_done() -> None:
    report = RecordingReporter()
    with Session(report=report).task("Snapshot a") as task:
        task.say("packing")
        task.done = "1 MB"
    assert report.events == [(what, "Snapshot a") for what in ("began", "progress", "finished")]
    assert report.details["finished", "Snapshot a"] == "1 MB"


def test_task_that_fails_is_reported_as_failed() -> None:
    report = RecordingReporter()
    with pytest.raises(SandboxError), Session(report=report).task("Snapshot a"):
        raise SandboxError("the disk is full")
    assert report.events == [("began", "Snapshot a"), ("failed", "Snapshot a")]
    assert report.details["failed", "Snapshot a"] == "the disk is full"
