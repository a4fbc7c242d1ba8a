"""The progress of a push: how much, how fast, and a line for each image that is done."""

from __future__ import annotations

import io

from sandbox.cli.output import JsonLines
from sandbox.cli.push_display import StepPushDisplay
from sandbox.errors import SandboxError
from sandbox.images.progress import Action, Result

DONE = Result("app:1", "sha256:d", Action.UPLOADED, 60_000_000, 1.5, ("a note",))


def test_push_is_a_step_and_each_image_is_one() -> None:
    out, notes = io.StringIO(), list[str]()
    with StepPushDisplay(JsonLines(out), notes.append, "Push") as display:
        display.sent(20_000_000)
        display.planned(2, 5, 110_000_000)
        display.spared(10_000_000)
        display.show_sent()
        display.finished(DONE)
        display.failed("absent:1", SandboxError("no such image"))
    text = out.getvalue()
    assert "2 images, 5 blobs, 110.0 MB" in text and "20.0 MB of 100.0 MB, " in text
    assert '"step": "app:1", "detail": "uploaded, 60.0 MB", "seconds": 1.5' in text
    assert '"failed", "step": "absent:1", "detail": "no such image"' in text
    assert notes == ["  a note"] and display.bytes == 20_000_000
