"""A glance asks each question once, whoever asks it; outside it everything is asked anew."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.engine.call_cache import Glancing, once


class Counter(Glancing):
    """Answers with how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    @once
    def count(self, word: str, *, more: str = "") -> int:
        self.gate.wait(5)
        self.asked.append(word + more)
        if word == "bad":
            raise ValueError(word)
        return len(self.asked)


def test_outside_every_question_is_asked() -> None:
    who = Counter()
    assert [who.count("a"), who.count("a")] == [1, 2]


def test_inside_each_question_is_asked_once_and_afterwards_anew() -> None:
    who = Counter()
    with who.glance():
        assert [who.count("a"), who.count("a"), who.count("b"), who.count("a", more="!"), who.count("a")] == [
            1,
            1,
            2,
            3,
            1,
        ]
    assert who.count("a") == 4
    with who.glance():
        assert who.count("a") == 5


def test_a_glance_within_another_is_a_part_of_it() -> None:
    who = Counter()
    with who.glance():
        who.count("a")
        with who.glance():
            assert who.count("a") == 1
        assert who.count("a") == 1
    assert who.count("a") == 2


def test_who_asks_what_another_asks_waits_for_the_answer() -> None:
    who = Counter()
    who.gate.clear()
    with who.glance(), ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(who.count, "a") for _ in range(4)]
        who.gate.set()
        assert {one.result(5) for one in answers} == {1}
    assert who.asked == ["a"]


def test_what_failed_is_asked_again() -> None:
    who = Counter()
    with who.glance():
        for _ in range(2):
            with pytest.raises(ValueError, match="bad"):
                who.count("bad")
    assert who.asked == ["bad", "bad"]
