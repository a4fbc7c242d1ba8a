"""Lets a test break a command at a step it names, so that recovery from crashes is tested.

A failpoint reads `STEP:MOMENT:ACTION`, such as `cluster:during:kill`, and is fired by the walk, once in a process. As a
program (`python -m tests.support.failpoint POINT ARGUMENT…`) this is `sandbox` with a failpoint.
"""

from __future__ import annotations

import errno
import inspect
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from sandbox.errors import SandboxError
from sandbox.plan import lifecycle

# Most changes go through one of these modules; `during` counts the calls that have returned from them, and tests name
# moments by their count.
_ENGINE = ("container_files", "containers", "engine_images", "networks")
_OTHERS = ("kube.api", "oci.client", "system.files", "system.process")
DOORS = frozenset(f"sandbox.{name}" for name in (*(f"engine.{part}" for part in _ENGINE), *_OTHERS))
HANG = 3600.0

_FORM = re.compile(r"(?P<step>[^:]+):(?P<moment>before|during(?:=(?P<call>[1-9]\d*))?|after):(?P<action>[a-z]+)")


def _raise() -> None:
    raise SandboxError("a failpoint was reached", id="failpoint")


def _fill_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "failpoint")


def _hang() -> None:
    """Block like an engine that never answers: nothing that this thread is asked ends it."""
    threading.Event().wait(HANG)


def _send(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


ACTIONS: Mapping[str, Callable[[], None]] = {
    "raise": _raise,
    "enospc": _fill_disk,
    "hang": _hang,
    "kill": _send(signal.SIGKILL),
    "term": _send(signal.SIGTERM),
    "hup": _send(signal.SIGHUP),
    "interrupt": _send(signal.SIGINT),
}


@dataclass(frozen=True, kw_only=True)
class Failpoint:
    """The action at a moment of a step; `during` is after `call` calls through a door have returned."""

    step: str
    moment: str
    action: str
    call: int = 1

    @classmethod
    def parse(cls, text: str) -> Failpoint:
        """Read `STEP:before|during[=CALL]|after:ACTION`. Raises ValueError."""
        match = _FORM.fullmatch(text)
        if match is None or match["action"] not in ACTIONS:
            raise ValueError(f"'{text}' is not STEP:before|during|during=CALL|after:{'|'.join(ACTIONS)}")
        return cls(
            step=match["step"],
            moment=match["moment"].partition("=")[0],
            action=match["action"],
            call=int(match["call"] or 1),
        )


_armed: Failpoint | None = None
_doors = DOORS


def arm(failpoint: Failpoint | None, *, doors: frozenset[str] = DOORS) -> None:
    """Have the failpoint fired when its step comes; None disarms it. `doors` are modules, by their names."""
    global _armed, _doors
    _armed, _doors = failpoint, doors
    lifecycle.around = around


@contextmanager
def around(step: str) -> Iterator[None]:
    """Fire the failpoint of this step, if there is one, before, during or after the block that applies or undoes it."""
    point = _armed
    if point is None or point.step != step:
        yield
        return
    if point.moment == "before":
        _fire()
    if point.moment == "during":
        with _counted(point.call):
            yield
    else:
        yield
    _fire()  # `after`, and a step that made too few calls for `during`


def _fire() -> None:
    global _armed
    if _armed is not None:
        action = ACTIONS[_armed.action]
        _armed = None
        action()


@contextmanager
def _counted(call: int) -> Iterator[None]:
    """Fire in the middle of the block, when this thread's `call`-th call of a door returns to its caller."""
    left = call

    def watch(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        if event == "return" and _is_door(frame) and not (frame.f_back and _is_of_door(frame.f_back)):
            left -= 1
            if left == 0:
                sys.setprofile(None)
                _fire()

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)


def _is_door(frame: FrameType) -> bool:
    # A generator also returns where it yields, and what is raised there does not reach its own `finally`.
    return _is_of_door(frame) and not frame.f_code.co_flags & inspect.CO_GENERATOR


def _is_of_door(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") in _doors


if __name__ == "__main__":
    from sandbox.cli import main
    from tests.support import failpoint as own  # this module by its name, not the one that runs

    own.arm(own.Failpoint.parse(sys.argv.pop(1)))
    main()
