"""The display of a push on a terminal: how much, how fast, how long yet, and a line for each image that is done."""

from __future__ import annotations

import io

from rich.console import Console

from sandbox.cli.live_output import LivePushDisplay, Meter
from sandbox.errors import SandboxError
from sandbox.images.progress import Action, Result

DONE = Result("app:1", "sha256:d", Action.UPLOADED, 60_000_000, 1.5, ("a note",))


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = Meter()
    assert meter.rate(0.0, 0) == 0
    assert meter.rate(1.0, 0) == 0
    assert meter.rate(2.0, 1000) == 1000
    assert [meter.rate(2.0 + second, 1000 + 10 * second) for second in range(1, 20)][-1] == 10


def test_live_output_shows_total_progress() -> None:
    out = io.StringIO()
    with LivePushDisplay(Console(file=out, width=100)) as display:
        assert display.words(0.0) == "checking existing images"
        display.expected(100_000_000)
        display.words(1.0)
        display.sent(20_000_000)
        assert display.words(2.0) == "20.0 MB of about 100.0 MB  20.0 MB/s  4 s left  from the Docker Engine"
        display.failed("absent:1", SandboxError("no such image"))
        display.planned(2, 5, 110_000_000)
        display.spared(10_000_000)
        display.sent(40_000_000)
        assert display.words(3.0) == "60.0 MB of 100.0 MB  30.0 MB/s  1 s left  1 of 3 images"
        display.finished(DONE)
    text = out.getvalue()
    assert "absent:1" in text
    assert "no such image" in text
    assert "app:1" in text
    assert "a note" in text
