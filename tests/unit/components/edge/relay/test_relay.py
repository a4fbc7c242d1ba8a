"""The relay as a step: one process for all sandboxes, found again, repaired, and gone with the last of them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.components.edge import routes
from sandbox.components.edge.relay import relay, relay_process
from sandbox.components.edge.relay.port_forward import Forwards
from sandbox.components.edge.relay.relay_server import RelayServer
from sandbox.components.edge.route import Route
from sandbox.components.edge.step import RelayStep
from sandbox.engine import Bind
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.plan.edge_steps import DisplacedStep
from sandbox.step import State
from sandbox.system import daemon
from sandbox.system.wait import wait_until
from tests.contract.edges import LOCAL, Server, call, read_all
from tests.support.fakes import NoWork
from tests.support.ports import free_port


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(LOCAL, "the cluster") as server:
        yield server


@pytest.fixture
def a(place: Home, server: Server) -> Iterator[RelayStep]:
    step = step_of(place, "a", server.upstream)
    yield step
    step.undo()


@pytest.fixture
def b(place: Home, server: Server) -> Iterator[RelayStep]:
    step = step_of(place, "b", server.upstream)
    yield step
    step.undo()


def step_of(place: Home, name: str, upstream: str) -> RelayStep:
    return RelayStep(
        names=place.sandbox(name),
        domain=f"{name}.test",
        binds=(Bind(LOCAL, free_port()),),
        upstream=upstream,
        kubectl=Path(sys.executable),
    )


def child(place: Home) -> daemon.Detached | None:
    return daemon.find(relay.record(place.relay))


def served(step: RelayStep) -> bytes:
    return read_all(call(step.binds[0].port, step.domain, "NAME"))


def test_relay_is_absent_then_serves_then_is_gone(place: Home, a: RelayStep) -> None:
    assert a.check().state is State.ABSENT
    assert not a.undo()
    a.apply(NoWork())
    assert (a.check().state, a.check().detail) == (State.READY, "*.a.test")
    assert served(a).startswith(b"the cluster")
    assert a.undo()
    assert a.check().state is State.ABSENT
    assert child(place) is None
    assert {path.name for path in place.relay.iterdir()} <= {"routes", ".lock"}
    assert not a.undo()


@pytest.mark.fault(15)
def test_sandboxes_share_one_process_until_the_last_has_gone(place: Home, a: RelayStep, b: RelayStep) -> None:
    """A second sandbox comes up → it uses the relay that runs."""
    a.apply(NoWork())
    before = child(place)
    b.apply(NoWork())
    assert child(place) == before
    assert served(a)
    assert served(b)
    assert a.undo()
    assert child(place) == before
    wait_until(lambda: b.check().detail if b.check().state is State.DRIFTED else None, what="b", timeout=20, pause=0.05)
    assert served(b)
    assert b.undo()
    assert child(place) is None


def test_killed_relay_is_reported_and_restarted(place: Home, a: RelayStep) -> None:
    a.apply(NoWork())
    before = child(place)
    assert before
    os.kill(before.pid, signal.SIGKILL)
    wait_until(lambda: "runs" if before.running else None, what="its end", timeout=20, pause=0.01)
    assert a.check().state is State.DRIFTED
    assert "does not run" in a.check().detail
    a.apply(NoWork())
    assert child(place) not in (None, before)
    assert served(a)


def test_changed_address_is_drift_and_adopted_without_restart(place: Home, a: RelayStep) -> None:
    a.apply(NoWork())
    before = child(place)
    with Server(LOCAL, "another") as other:
        moved = replace(a, upstream=other.upstream, binds=(Bind(LOCAL, free_port()),))
        assert (moved.check().state, moved.check().detail) == (State.DRIFTED, "the route has another target")
        moved.apply(NoWork())
        assert moved.check().state is State.READY
        assert served(moved).startswith(b"another")
    assert child(place) == before
    assert routes.load(place.relay)[0].name == "a"


@pytest.mark.fault(59)
def test_relay_of_an_older_release_is_replaced(place: Home, a: RelayStep, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of an older release runs → `up` replaces it."""
    a.apply(NoWork())
    before = child(place)
    monkeypatch.setattr(relay, "__version__", "99")
    assert a.check().state is State.DRIFTED
    assert "runs " in a.check().detail
    monkeypatch.setattr(relay.Relay, "_silence", lambda self, route: None)
    a.apply(NoWork())
    assert child(place) not in (None, before)


@pytest.mark.fault(13)
def test_a_port_that_a_user_has_is_named(place: Home, a: RelayStep) -> None:
    """The relay finds its port taken → the port is named."""
    with closing(socket.create_server((LOCAL, a.binds[0].port))):
        said = f"does not listen on {LOCAL}:{a.binds[0].port}: Address already in use"
        with pytest.raises(SandboxError, match=said):
            a.apply(NoWork())
        assert a.check().detail == said


def test_relay_that_cannot_start_is_an_error_with_its_last_lines(
    place: Home, a: RelayStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = (sys.executable, "-c", "raise SystemExit('no memory left')")
    monkeypatch.setattr(relay_process, "argv", lambda folder: argv)
    with pytest.raises(SandboxError, match="the relay stopped") as caught:
        a.apply(NoWork())
    assert "no memory left" in caught.value.details


def test_route_that_is_not_understood_keeps_no_other_back(place: Home, a: RelayStep) -> None:
    """A newer release wrote one: the sandboxes of all others are served, and that one's is named in the log."""
    newer = Route("z", "z.test", f"{relay.SCHEME}:?port=1&later=1", listen=((LOCAL, free_port()),))
    routes.save(place.relay, newer)
    a.apply(NoWork())
    assert a.check().state is State.READY
    assert served(a).startswith(b"the cluster")
    assert "route z: " in relay.log(place.relay).read_text()
    routes.remove(place.relay, "z")


def test_full_disk_does_not_end_the_relay(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise SandboxError("state.json cannot be written")

    async def follow() -> bool:
        return await relay_process._follow(place.relay, RelayServer(Forwards()))

    monkeypatch.setattr(relay, "save", refuse)
    assert asyncio.run(follow())  # it is tried again


def test_edge_container_of_an_earlier_spec_is_removed(place: Home, a: RelayStep) -> None:
    a.apply(NoWork())
    displaced = DisplacedStep(a)
    assert displaced.check().state is State.DRIFTED
    displaced.apply(NoWork())
    assert displaced.check().state is State.READY
    assert child(place) is None
    assert not displaced.undo()
