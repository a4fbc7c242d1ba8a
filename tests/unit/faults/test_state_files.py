"""Damaged files of the state folder are recognised."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from pathlib import Path

import pytest

from sandbox.components.credentials.pod_logins import PodLogins
from sandbox.components.edge import container
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.plan.used_engine import UsedEngine
from sandbox.system import daemon, files
from sandbox.system.sandbox_lock import RECORD, Holder

DAMAGED = {
    "null": b"null",
    "list": b'["listening"]',
    "text": b'"listening"',
    "cut": b'{"pid": 1',
    "zeros": b"\x00" * 80,
}


HARM: list[Callable[[Path], object]] = [Path.mkdir, *(methodcaller("write_bytes", data) for data in DAMAGED.values())]
harmed = pytest.mark.parametrize("harm", HARM, ids=["folder", *DAMAGED])


@pytest.mark.fault(68)
@harmed
def test_state_file_that_no_command_wrote_says_nothing(place: Home, harm: Callable[[Path], object]) -> None:
    """A folder or other JSON in the place of a state file → as if it was not there."""
    names = place.sandbox("demo")
    for folder in (names.folder, place.edge):
        files.make_private_dir(folder)
    for path in (names.waker, names.folder / RECORD, names.engine, place.edge / container.RECORD):
        harm(path)
    assert daemon.find(names.waker) is None
    assert Holder.read(names.folder) is None
    assert UsedEngine.read(names) is None
    assert container.loaded_binds(place.edge) == frozenset()


@pytest.mark.fault(68)
@harmed
def test_file_that_must_be_read_is_refused_if_odd(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    """The same in the place of what a command cannot do without → an error that names it."""
    path = tmp_path / "kept"
    harm(path)
    with pytest.raises(SandboxError, match=r"cannot be read"):
        PodLogins(path).read()
