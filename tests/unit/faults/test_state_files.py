"""Damaged files of the state folder are recognised."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from operator import methodcaller
from pathlib import Path

import pytest

from sandbox.components.credentials.pod_logins import PodLogins
from sandbox.components.edge import edge_folder, routes
from sandbox.components.edge.relay import relay
from sandbox.components.edge.use import UseCounts
from sandbox.components.network import socket_handover
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
PROCESS = asdict(daemon.this())


HARM: list[Callable[[Path], object]] = [Path.mkdir, *(methodcaller("write_bytes", data) for data in DAMAGED.values())]
harmed = pytest.mark.parametrize("harm", HARM, ids=["folder", *DAMAGED])


@pytest.mark.fault(68)
@harmed
def test_state_file_that_no_command_wrote_says_nothing(place: Home, harm: Callable[[Path], object]) -> None:
    """A folder or other JSON in the place of a state file → as if it was not there."""
    names = place.sandbox("demo")
    for folder in (names.folder, place.relay, place.edge / "sockets", place.edge / "routes" / "node-ports"):
        files.make_private_dir(folder)
    relay.record(place.relay).write_text(json.dumps(PROCESS), encoding="utf-8")
    for path in (
        names.waker,
        names.folder / RECORD,
        names.engine,
        place.relay / "state.json",
        place.edge / "taken.json",
        place.edge / "sockets" / "binds.json",
        place.edge / "routes" / "node-ports" / "demo.json",
    ):
        harm(path)
    assert daemon.find(names.waker) is None
    assert Holder.read(names.folder) is None
    assert UsedEngine.read(names) is None
    assert relay.running(place.relay) is None
    assert edge_folder.taken(place.edge) == {}
    assert socket_handover.held(place.edge) == ()
    assert routes._node_ports(place.edge, "demo") == ()


@pytest.mark.fault(68)
@harmed
def test_file_that_must_be_read_is_refused_if_odd(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    """The same in the place of what a command cannot do without → an error that names it."""
    path = tmp_path / "kept"
    harm(path)
    with pytest.raises(SandboxError, match=r"cannot be read"):
        PodLogins(path).read()
    with pytest.raises((OSError, ValueError)):
        UseCounts.read(path)


@pytest.mark.fault(68)
@pytest.mark.parametrize("key", ["routes", "listening", "trouble", "version"])
@pytest.mark.parametrize("value", [None, 5, "x", [None], {"a": 1}], ids=repr)
def test_relay_state_of_other_types_is_understood_or_not(place: Home, key: str, value: object) -> None:
    """A field of the relay's state with another type → the relay is not ready; nothing ends as a bug."""
    files.make_private_dir(place.relay)
    relay.record(place.relay).write_text(json.dumps(PROCESS), encoding="utf-8")
    state = {**asdict(relay.Serving("abc", frozenset(), {})), "listening": [], key: value}
    (place.relay / "state.json").write_text(json.dumps(state), encoding="utf-8")
    assert relay.Relay(place)._not_served(relay.running(place.relay))
    assert not relay.Relay(place).has(443)
