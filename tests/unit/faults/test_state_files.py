"""Files of the state folder that no command wrote are told from good ones, at once and without harm."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from operator import methodcaller
from pathlib import Path

import pytest

from sandbox.components.credentials.kept_secret import Entries
from sandbox.components.edge import edge_folder, haproxy, routes
from sandbox.components.edge.relay import relay
from sandbox.components.edge.use import UseCounts
from sandbox.components.network import socket_handover
from sandbox.engine import reach
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.plan.used_engine import UsedEngine
from sandbox.system import daemon, files
from sandbox.system.sandbox_lock import RECORD, Holder

NO_JSON = {
    "null": b"null",
    "list": b'["listening"]',
    "text": b'"listening"',
    "zeros": b"\x00" * 80,
    "deep": b"[" * 10_000_000,
    "nan": b"NaN",
    "endless": b"1e999",
    "digits": b"9" * 5000,
}
PROCESS = asdict(daemon.this())


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 3 << 30)


HARM: list[Callable[[Path], object]] = [fifo, endless, sparse, Path.mkdir]
HARM += [methodcaller("write_bytes", data) for data in NO_JSON.values()]
harmed = pytest.mark.parametrize("harm", HARM, ids=["fifo", "endless", "sparse", "folder", *NO_JSON])


@pytest.mark.fault(68)
@harmed
def test_state_file_that_no_command_wrote_says_nothing(place: Home, harm: Callable[[Path], object]) -> None:
    """A FIFO, device, endless or hostile JSON in the place of a state file → as if it was not there, at once."""
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
    """The same in the place of what a command cannot do without → an error that names it, at once."""
    path = tmp_path / "kept"
    harm(path)
    with pytest.raises(SandboxError, match=r"cannot be read"):
        Entries(path).read()
    with pytest.raises((OSError, ValueError)):
        UseCounts.read(path)


@pytest.mark.fault(68)
@pytest.mark.parametrize("pid", [-1, 0, 10**30, 10**400, 1.5, "1", None, True, [1]], ids=lambda pid: repr(pid)[:8])
def test_record_with_an_odd_process_id_names_none(tmp_path: Path, pid: object) -> None:
    """A process id that no process has, or that means others to waitpid(2) → no process is found or reaped."""
    path = tmp_path / "waker.json"
    path.write_text(json.dumps({**PROCESS, "pid": pid}), encoding="utf-8")
    assert daemon.find(path) is None
    assert not daemon.end(path)


@pytest.mark.fault(68)
@pytest.mark.parametrize("since", [1e300, -1e300, 10**400, 2**70], ids=["far", "past", "huge", "year"])
def test_holder_since_a_time_no_clock_shows_is_none(tmp_path: Path, since: float) -> None:
    """A time that the system cannot show → the holder of the lock is not told, and the command goes on."""
    (tmp_path / RECORD).write_text(json.dumps({**asdict(Holder.this("up")), "since": since}), encoding="utf-8")
    assert Holder.read(tmp_path) is None


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


@pytest.mark.fault(68)
def test_odd_files_of_the_edge_count_as_changed(place: Home) -> None:
    """A FIFO in the place of a file that HAProxy reads → the edge has other files than those that were loaded."""
    place.edge.mkdir(parents=True)
    for name in haproxy.CONFIGURATION:
        os.mkfifo(place.edge / name)
    assert edge_folder.marks(place.edge) == {}
    assert not edge_folder.is_current(place.edge, ())


@pytest.mark.fault(68)
def test_measured_reach_that_is_a_fifo_is_measured_again(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO in the place of what was measured of the engine → nothing is known of it, at once."""
    files.make_private_dir(place.state)
    os.mkfifo(reach._file(place))
    monkeypatch.setattr(reach, "_key", lambda engine: "key")
    assert reach.known(None, place) is None  # type: ignore[arg-type]
