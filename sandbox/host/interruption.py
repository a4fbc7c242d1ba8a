"""Lets a command be interrupted while threads work: they are told, and whatever they wait for ends."""

from __future__ import annotations

import threading

_requested = threading.Event()


class Interrupted(Exception):
    """Raised in threads that work for a command which was interrupted."""


def request() -> None:
    """Tell every thread to stop at its next look."""
    _requested.set()


def clear() -> None:
    """Let work be done again, such as the cleaning up."""
    _requested.clear()


def check() -> None:
    """Raise Interrupted when a stop was requested."""
    if _requested.is_set():
        raise Interrupted


def pause(seconds: float) -> None:
    """Sleep, unless a stop is requested before or meanwhile; raises Interrupted then."""
    if _requested.wait(seconds):
        raise Interrupted
