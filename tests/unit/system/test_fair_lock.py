"""A lock that is taken again and again, and those who wait for it."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from sandbox.system import fair_lock


@contextmanager
def held(folder: Path, seconds: float = 30.0) -> Iterator[None]:
    lock = FileLock(folder / ".lock")
    fair_lock.acquire(lock, folder, seconds)
    try:
        yield
    finally:
        lock.release()


@pytest.fixture
def rounds(tmp_path: Path) -> Iterator[list[float]]:
    """When another thread took the lock, which it does without a pause."""
    found: list[float] = []
    end = threading.Event()

    def take() -> None:
        while not end.is_set():
            with held(tmp_path):
                found.append(time.monotonic())
                time.sleep(0.02)

    thread = threading.Thread(target=take)
    thread.start()
    yield found
    end.set()
    thread.join()


def test_waiter_is_served_within_few_rounds(tmp_path: Path, rounds: list[float]) -> None:
    for _ in range(5):
        with held(tmp_path):
            pass
    assert len(rounds) < 50


def test_lock_is_held_by_one_at_a_time(tmp_path: Path, rounds: list[float]) -> None:
    with held(tmp_path):
        before = len(rounds)
        time.sleep(0.2)
        assert len(rounds) == before


def test_patience_ends_also_behind_another_waiter(tmp_path: Path) -> None:
    with held(tmp_path):
        waiter = threading.Thread(target=lambda: held(tmp_path).__enter__(), daemon=True)
        waiter.start()
        time.sleep(0.1)
        begun = time.monotonic()
        for seconds in (0.0, 0.2):
            with pytest.raises(Timeout), held(tmp_path, seconds):
                pass
        assert time.monotonic() - begun < 5
    waiter.join()


def test_free_lock_is_left_to_the_one_that_waits_next(tmp_path: Path) -> None:
    turn = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(turn, fcntl.LOCK_EX)
    with pytest.raises(Timeout), held(tmp_path, 0.1):
        pass
    os.close(turn)
    with held(tmp_path):
        pass


def test_filesystem_without_locks_of_folders_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refused)
        assert fair_lock._is_next(0)
    with held(tmp_path):
        pass
