"""The display of a push on a terminal: how much, how fast, how long yet, and a line for each image that is done."""

from __future__ import annotations

import io
import time

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


def test_reading_back_has_a_progress_of_its_own() -> None:
    with LivePushDisplay(Console(file=io.StringIO())) as display:
        display.planned(1, 2, 60_000_000)
        display.sent(60_000_000)
        display.finished(DONE)
        reading = display.verifying(1)
        reading.planned(1, 2, 80_000_000)
        assert display.words(1.0) == "0.0 MB of 80.0 MB  verifying 1 image"
        reading.sent(20_000_000)
        assert display.words(2.0) == "20.0 MB of 80.0 MB  20.0 MB/s  3 s left  verifying 1 image"


def test_progress_of_a_push_is_one_line_of_80_columns() -> None:
    out = io.StringIO()
    with LivePushDisplay(Console(file=io.StringIO())) as display:
        display.planned(12, 90, 1_314_600_000)
        display.sent(16_000_000)
        display.words(time.monotonic() - 1)
        display.sent(200_000_000)
        Console(file=out, width=80).print(display)
    (line,) = out.getvalue().splitlines()
    assert "216.0 MB of 1314.6 MB" in line and line.rstrip().endswith("0 of 12 images")


def test_live_output_shows_total_progress() -> None:
    out = io.StringIO()
    with LivePushDisplay(Console(file=out, width=100)) as display:
        assert display.words(0.0) == "checking existing images"
        display.words(1.0)
        display.sent(20_000_000)
        assert display.words(2.0) == "20.0 MB  20.0 MB/s  checking existing images"
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
