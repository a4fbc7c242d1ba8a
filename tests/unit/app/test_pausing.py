"""A paused sandbox: what wakes it, and what pauses it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.app import context, diagnosis, pausing
from sandbox.app.core import Sandbox
from sandbox.app.session import Session
from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.cluster import docker_nodes
from sandbox.components.cluster.kind.provider import nodes
from sandbox.components.edge.use import Use, UseCounts
from sandbox.config.schema import Spec
from sandbox.doctor.table import FAST
from sandbox.engine import ContainerSpec, Engine
from sandbox.names import Names
from tests.support.fakes import NETWORK, FakeEngine

NONE = frozenset[str]()


class World:
    """A sandbox whose clients are those of `totals`, one for each look; afterwards it is gone."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.totals: Iterator[int] = iter(())
        self.done: list[str] = []
        self.trusted: list[bool] = []

    def read(self, use: Use) -> UseCounts:
        total = next(self.totals, None)
        if total is None:
            for path in self.names.folder.iterdir():
                path.unlink()
            self.names.folder.rmdir()
        return UseCounts(total or 0, 0, NONE)

    def pause(self, nodes: Any) -> bool:
        self.done.append("paused")
        return True

    def resume(self, nodes: Any) -> bool:
        self.done.append("resumed")
        return True


@pytest.fixture
def world(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> World:
    names = context.home().sandbox("demo")
    names.folder.mkdir(parents=True)
    made = World(names)
    monkeypatch.setattr(Engine, "connect", lambda: engine)
    monkeypatch.setattr(Use, "read", lambda self: made.read(self))
    monkeypatch.setattr(Use, "trust_servers", lambda self, *, healthy: made.trusted.append(healthy))
    monkeypatch.setattr(docker_nodes, "pause", made.pause)
    monkeypatch.setattr(docker_nodes, "resume", made.resume)
    for seconds in ("WATCHING", "RESTING"):
        monkeypatch.setattr(pausing, seconds, 0.0)
    return made


@pytest.mark.parametrize(
    ("totals", "counts", "done"),
    [
        ([3, 3, 3, 0, 0], None, ["paused"]),
        ([3, 3, 4, 4], None, ["paused", "resumed"]),
        ([3, 3, 0, 1, 1], None, ["paused", "resumed"]),
        ([3, 3, 3], b"", ["paused", "resumed"]),
        ([3, 3, 3], b"{}", ["paused", "resumed"]),
    ],
    ids=["no client", "a client", "a client of a new edge", "damaged counts", "empty counts"],
)
def test_paused_sandbox_wakes_for_the_next_client(
    world: World, engine: FakeEngine, totals: list[int], counts: bytes | None, done: list[str]
) -> None:
    world.totals = iter(totals)
    pausing.pause(engine, world.names)
    if counts is not None:
        world.names.paused.write_bytes(counts)
    pausing.follow(engine, world.names, None)
    assert world.done == done and not world.names.paused.exists()


def test_a_sandbox_long_unused_is_paused_again(world: World, engine: FakeEngine) -> None:
    world.totals = iter([3, 3, 3, 4])
    pausing.follow(engine, world.names, 1e-9)
    assert world.done[:2] == ["paused", "resumed"]


def test_commands_wake_it_and_the_doctor_unless_told_not_to(world: World, engine: FakeEngine) -> None:
    world.totals = iter([3])
    pausing.pause(engine, world.names)
    rows = diagnosis.rows(Spec(name="demo"), wake=False)
    assert [row.id for row in rows] == [check.id for check in FAST] and world.done == ["paused"]
    messages: list[str] = []
    for _ in range(2):
        with Session(say=messages.append).alone("demo", "up"):
            assert world.done == ["paused", "resumed"]
    assert messages == ["waking 'demo', which is paused"]
    assert not pausing.wake(engine, world.names)


def test_interrupted_pause_leaves_the_sandbox_awake(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(nodes: Any) -> bool:
        world.pause(nodes)
        raise KeyboardInterrupt

    monkeypatch.setattr(pausing, "watch", lambda *_: None)
    monkeypatch.setattr(docker_nodes, "pause", interrupt)
    world.totals = iter([3])
    with pytest.raises(KeyboardInterrupt):
        Sandbox(Spec(name="demo")).pause()
    assert world.done == ["paused", "resumed"]
    assert not world.names.paused.exists()
    assert world.trusted == [True, False]


def test_killed_pause_leaves_a_process_that_wakes_it(
    world: World, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pause` is killed right after the nodes are frozen → a process that began before wakes them at the next use."""
    began: list[str] = []

    def frozen(nodes: Any) -> bool:
        assert began == ["demo"], "the process began before"
        return world.pause(nodes)

    monkeypatch.setattr(pausing, "watch", lambda names, after: began.append(names.name))
    monkeypatch.setattr(docker_nodes, "pause", frozen)
    world.totals = iter([3, 3, 4, 4])
    assert Sandbox(Spec(name="demo")).pause()
    with ThreadPoolExecutor() as pool:
        with Session().locked(context.home().lock("demo"), "demo", "pause"):
            waking = pool.submit(pausing.follow, engine, world.names, None)
            time.sleep(0.05)
            assert world.done == ["paused"], "it waits while a command works"
        waking.result()
    assert world.done == ["paused", "resumed"]


def test_a_sandbox_that_does_not_run_is_not_paused(
    world: World, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_nodes, "pause", lambda _: False)
    world.totals = iter([0])
    assert not pausing.pause(engine, world.names)
    assert not world.names.paused.exists()
    assert world.trusted[-1] is False
    world.names.folder.rmdir()
    assert not pausing.pause(engine, world.names)
    assert not world.names.folder.exists()


def test_nodes_are_stopped_in_order_and_paused(
    engine: FakeEngine, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def execute(name: str, argv: Sequence[str]) -> tuple[int, str]:
        done.append(f"prepare {name}")
        return 0, ""

    monkeypatch.setattr(engine, "pause", lambda name: done.append(f"pause {name}"))
    monkeypatch.setattr(engine, "execute", execute)
    cluster, image = nodes(engine, names), UPSTREAM["node"]
    key, _, value = cluster.mark.partition("=")
    control_plane, worker = (f"{names.cluster}-{role}" for role in ("control-plane", "worker"))
    for name in (control_plane, worker):
        labels = {key: value, "io.x-k8s.kind.role": name.removeprefix(f"{names.cluster}-")}
        engine.run(ContainerSpec(name=name, image=image, command=("init",), labels=labels, network=NETWORK))
    assert docker_nodes.pause(cluster)
    assert sorted(done[:2]) == [f"prepare {control_plane}", f"prepare {worker}"]
    assert done[2:] == [f"pause {worker}", f"pause {control_plane}"]
