"""Lets a command be interrupted while threads work: each is told, and whatever it waits for ends."""

import threading
import time

_requested = threading.Event()
_spared = threading.local()


class Interrupted(Exception):
    """Raised in threads that work for a command which was interrupted."""


def request() -> None:
    _requested.set()


def clear() -> None:
    _requested.clear()
    _spared.thread = False


def spare() -> None:
    """Let this thread continue, to clean up, while the others stay told to stop: one of them has not stopped yet."""
    _spared.thread = True


def check() -> None:
    if _requested.is_set() and not _is_spared():
        raise Interrupted


def pause(seconds: float) -> None:
    """Sleep, unless a stop is requested before or meanwhile; then raise Interrupted."""
    if _is_spared():
        time.sleep(seconds)
    elif _requested.wait(seconds):
        raise Interrupted


def _is_spared() -> bool:
    return getattr(_spared, "thread", False)
