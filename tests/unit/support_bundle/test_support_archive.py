"""Whatever happens in one part, the others' texts arrive, in time and in bounds."""

from __future__ import annotations

import threading
from collections.abc import Iterator

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


def test_long_text_keeps_its_end() -> None:
    found = gather({"much": lambda: iter([("long.txt", "x" * LARGEST + "the end")])}, seconds=30)
    assert len(found["long.txt"]) == LARGEST and found["long.txt"].endswith("the end")
