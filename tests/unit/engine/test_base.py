"""How long requests to the engine may take, which is a matter of the thread that makes them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest

from sandbox.engine.base import LONG_TIMEOUT, Door, Glancing, once

SHORT = 60


@pytest.fixture
def api() -> docker.APIClient:
    return docker.APIClient("unix:///nowhere.sock", version="1.41", timeout=SHORT)


def seconds(api: docker.APIClient, **request: int | None) -> int | None:
    """What the library gives a request that is made now."""
    found: int | None = api._set_request_timeout(dict(request))["timeout"]
    return found


class Client:
    def __init__(self, api: docker.APIClient) -> None:
        self.api = api


@pytest.mark.fault(4)
def test_long_calls_that_overlap_leave_others_their_timeout(api: docker.APIClient) -> None:
    """Two long calls in two threads, neither inside the other → later calls still end after a minute."""
    door = Door(Client(api))
    inside, leave = threading.Event(), threading.Event()
    seen: list[int | None] = []

    def other() -> None:
        with door.patient():
            inside.set()
            leave.wait(30)
            seen.append(seconds(api))
        seen.append(seconds(api))

    thread = threading.Thread(target=other)
    with door.patient():
        thread.start()
        assert inside.wait(30)
        assert seconds(api) == LONG_TIMEOUT
    assert seconds(api) == SHORT
    leave.set()
    thread.join(30)
    assert seen == [LONG_TIMEOUT, SHORT]
    assert seconds(api) == SHORT


def test_a_time_of_its_own_is_only_ever_lengthened(api: docker.APIClient) -> None:
    door = Door(Client(api))
    assert seconds(api, timeout=15) == 15
    with door.patient():
        assert seconds(api, timeout=70) == LONG_TIMEOUT
        assert seconds(api, timeout=None) is None


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


def test_inside_each_question_is_asked_once_and_afterwards_again() -> None:
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


def test_concurrent_equal_questions_share_one_answer() -> None:
    who = Counter()
    who.gate.clear()
    with who.glance(), ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(who.count, "a") for _ in range(4)]
        who.gate.set()
        assert {one.result(5) for one in answers} == {1}
    assert who.asked == ["a"]


def test_failed_question_is_asked_again() -> None:
    who = Counter()
    with who.glance():
        for _ in range(2):
            with pytest.raises(ValueError, match="bad"):
                who.count("bad")
    assert who.asked == ["bad", "bad"]
