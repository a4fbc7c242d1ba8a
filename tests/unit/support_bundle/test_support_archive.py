"""Whatever happens in one part, the others' texts arrive, in time and in bounds."""

from __future__ import annotations

import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.support_bundle import support_archive as gathering
from sandbox.support_bundle.support_archive import LARGEST, PROBLEMS, gather


def good() -> Iterator[tuple[str, str]]:
    yield "a/b.txt", "text"


def broken() -> Iterator[tuple[str, str]]:
    yield "half.txt", "what came first"
    raise ZeroDivisionError("by zero")


def test_broken_part_keeps_its_output_and_the_error() -> None:
    found = gather({"good": good, "broken": broken}, seconds=30)
    assert found == {"a/b.txt": "text", "half.txt": "what came first", PROBLEMS: found[PROBLEMS]}
    assert found[PROBLEMS] == "broken: ZeroDivisionError: by zero\n"


def test_hanging_part_does_not_block_the_others() -> None:
    ended = threading.Event()

    def hangs() -> Iterator[tuple[str, str]]:
        yield "first.txt", "came"
        ended.wait(30)
        yield "late.txt", "never"

    found = gather({"good": good, "hangs": hangs}, seconds=0.3)
    ended.set()
    assert set(found) == {"a/b.txt", "first.txt", PROBLEMS}
    assert "hangs: not finished within 0.3 s" in found[PROBLEMS]


def test_long_text_keeps_its_end_and_excess_is_omitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ALL", LARGEST + 10)

    def much() -> Iterator[tuple[str, str]]:
        yield "long.txt", "x" * LARGEST + "the end"
        yield "more.txt", "y" * 100

    found = gather({"much": much}, seconds=30)
    assert len(found["long.txt"]) == LARGEST and found["long.txt"].endswith("the end")
    assert "more.txt: left out" in found[PROBLEMS] and "more.txt" not in found


@pytest.mark.parametrize("now", [0.0, 5e9, 2e11])
def test_archive_is_written_by_any_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    """The clock is set to 1970, 2128 or 8307 → an archive all the same; gzip's header ends in 2106."""
    monkeypatch.setattr(time, "time", lambda: now)
    gathering._write(tmp_path / "logs.tar.gz", {"a.txt": "text"})
    with tarfile.open(tmp_path / "logs.tar.gz") as tar:
        assert [(one.name, one.mtime) for one in tar] == [("logs/a.txt", now)]
