"""What a session reports of work that is no walk over a plan."""

from __future__ import annotations

import os
import time

import pytest

from sandbox.app import context
from sandbox.app.session import Session
from sandbox.errors import SandboxError
from sandbox.system.sandbox_lock import Busy
from tests.support.fakes import RecordingReporter


def test_task_is_reported_with_its_result() -> None:
    report = RecordingReporter()
    with Session(report=report).task("Snapshot a") as task:
        task.say("packing")
        task.done = "1 MB"
    with pytest.raises(SandboxError), Session(report=report).task("Snapshot b"):
        raise SandboxError("the disk is full")
    assert report.events == [
        *((what, "Snapshot a") for what in ("began", "progress", "finished")),
        ("began", "Snapshot b"),
        ("failed", "Snapshot b"),
    ]
    assert report.details["finished", "Snapshot a"] == "1 MB"
    assert report.details["failed", "Snapshot b"] == "the disk is full"


@pytest.mark.fault(9)
def test_second_dev_is_refused_with_the_process_of_the_first() -> None:
    """`sandbox dev` of a sandbox that another one follows → at once an error with its process; after it, it works."""
    session, begun = Session(command="sandbox dev"), time.monotonic()
    with session.following("demo"), session.following("other"):
        with pytest.raises(Busy) as caught, session.following("demo"):
            pass
        assert time.monotonic() - begun < session.patience / 100
        assert caught.value.brief == "another command works on the files of 'demo'"
        assert f"`sandbox dev` (pid {os.getpid()}, since" in caught.value.details
        assert caught.value.fix == f"wait for it, or end it: kill {os.getpid()}"
    with session.following("demo"):
        pass
    assert not context.home().lock("demo").exists()
